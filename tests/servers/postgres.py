"""A real Postgres (a system package), run by a user that is not root, in a folder under the temporary directory."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.process import free_ports, running


def _program(name: str) -> str:
    found = [str(path) for path in Path("/usr/lib/postgresql").glob(f"*/bin/{name}")] or [shutil.which(name) or ""]
    if not found[-1]:
        pytest.skip(f"{name} is not installed (on Debian: apt-get install postgresql)")
    return max(found)


def _user() -> str | None:
    """Postgres refuses to run as root: the user to run it as, or None for ourselves."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    if not names & {"postgres", "nobody"}:
        pytest.skip("running as root, and there is no other user to run Postgres as")
    return "postgres" if "postgres" in names else "nobody"


@contextmanager
def running_postgres() -> Iterator[str]:
    """Its address, ``postgresql+psycopg2://…/postgres``."""
    initdb, postgres = _program("initdb"), _program("postgres")
    user, port = _user(), free_ports(1)[0]
    with tempfile.TemporaryDirectory(prefix="mmplatform-pg-") as name:
        folder = Path(name)
        if user is not None:
            shutil.chown(folder, user)
        data = folder / "data"
        subprocess.run(
            [
                initdb,
                "--pgdata",
                str(data),
                "--username",
                "tests",
                "--auth",
                "trust",
                "--encoding",
                "UTF8",
                "--no-sync",
            ],
            check=True,
            capture_output=True,
            user=user,
            cwd=folder,
            timeout=120,
        )
        command = [
            *(postgres, "-D", str(data), "-p", str(port), "-c", "listen_addresses=127.0.0.1"),
            *("-c", "unix_socket_directories=", "-c", "fsync=off"),
        ]

        def ready() -> bool:
            import psycopg2

            try:
                psycopg2.connect(host="127.0.0.1", port=port, user="tests", dbname="postgres").close()
            except psycopg2.OperationalError:
                return False
            return True

        log = Path(tempfile.mkstemp(prefix="mmplatform-pg-", suffix=".log")[1])
        try:
            with running(command, log=log, ready=ready, user=user, cwd=folder, stop=signal.SIGINT):
                yield f"postgresql+psycopg2://tests@127.0.0.1:{port}/postgres"
        finally:
            log.unlink(missing_ok=True)
