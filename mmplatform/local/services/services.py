"""Plans the services of `mmplatform up`: the process of each, its dependencies and its readiness probe.

Pure, except for leasing ports, which is passed in: settings in, stack out. A server whose address the user configured
(``kafka_bootstrap_servers``, ``chroma_url``) is not part of it, and its clients get that address.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from mmplatform.errors import Misconfigured
from mmplatform.events import Modality
from mmplatform.local.run_file import CANARY, DAGSTER
from mmplatform.local.services.dagster_home import aws_environment
from mmplatform.local.services.environment import FEW_ARENAS, Addresses, worker_environment
from mmplatform.local.services.probes import HttpProbe, Probe, TcpProbe
from mmplatform.modalities import MODALITIES
from mmplatform.settings import Settings

HOST: Final = "127.0.0.1"
_GRACE_S: Final = 15.0
_GATEWAY_GRACE_S: Final = 25.0
"""Open requests have 10 s, and the broker's acknowledgement may take 8 s more."""

KAFKA_PORT: Final = 19092
CHROMA_PORT: Final = 18000
METRICS_PORT: Final = 19100
_MAX_DERIVERS: Final = 64
_REUSE_PORT: Final = {"MMPLATFORM_GATEWAY_REUSE_PORT": "true"}
"""Its successor listens on the same port for a moment."""

LeasePort = Callable[[int, str], int]


@dataclass(frozen=True, slots=True)
class Service:
    """A process of the stack.

    Attributes:
        needs: services that must be ready before each of its starts.
        after: services that must be ready or given up before its first start only.
        metrics_url: base URL of ``/metrics``, ``/healthz``, ``/livez`` and ``/status``; empty for foreign programs.
        heartbeat_url: a URL that a foreign program answers as long as it lives; empty: no liveness check.
        pipe_stdin: give it a standard input that ends when the supervisor ends.
        successor_port: port of its successor's ``/healthz`` during a rolling restart; 0: it has no rolling restart.
        exclusive: its successor waits until it has stopped; else both serve at once for a moment.
        has_children: it starts processes: count them in its CPU and memory.
        forkable: the fork server may start it.
        start_timeout_s: seconds until it must be ready.
        grace_s: seconds between SIGTERM and SIGKILL.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    probe: Probe
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    metrics_url: str = ""
    heartbeat_url: str = ""
    cwd: Path | None = None
    pipe_stdin: bool = False
    successor_port: int = 0
    exclusive: bool = True
    has_children: bool = False
    forkable: bool = False
    start_timeout_s: float = 180.0
    grace_s: float = _GRACE_S

    @property
    def liveness_url(self) -> str:
        """URL of the liveness check; empty when it has none."""
        return f"{self.metrics_url}/livez" if self.metrics_url else self.heartbeat_url


@dataclass(frozen=True, slots=True)
class Stack:
    """All services, and the addresses of the stack; the address of a server that is not part of it is empty."""

    services: tuple[Service, ...]
    gateway: str
    kafka: str
    chroma: str
    dagster: str


@dataclass(frozen=True, slots=True)
class StackOptions:
    """Options of one run. ``dagster``: the arguments for the code location; empty: without Dagster."""

    derivers: Mapping[Modality, int] = field(default_factory=lambda: dict.fromkeys(MODALITIES, 1))
    dagster: tuple[str, ...] = ()
    dagster_cwd: Path | None = None


def parse_derivers(text: str) -> dict[Modality, int]:
    """Parse ``chat=1,call=2``: a modality that is not named gets one process, 0 means none.

    Raises:
        Misconfigured: an unknown modality or a wrong number.
    """
    counts: dict[Modality, int] = dict.fromkeys(MODALITIES, 1)
    by_name = {str(modality): modality for modality in MODALITIES}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, number = part.partition("=")
        modality = by_name.get(name.strip())
        if modality is None or not _is_number(number.strip()) or int(number) > _MAX_DERIVERS:
            raise Misconfigured(
                f"--derivers: `{part}` is not one of {', '.join(by_name)} with a number from 0 to {_MAX_DERIVERS}:"
                " write for example `chat=1,call=2`"
            )
        counts[modality] = int(number)
    return counts


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def plan_stack(settings: Settings, options: StackOptions, lease_port: LeasePort) -> Stack:
    """Plan the stack; ``lease_port(preferred_port, host)`` returns a port."""
    data_dir = settings.data_dir.absolute()
    servers: list[Service] = []
    kafka, chroma = settings.kafka_bootstrap_servers, settings.chroma_url
    if not kafka:
        port = lease_port(KAFKA_PORT, HOST)
        kafka = f"{HOST}:{port}"
        servers.append(_broker(data_dir, port))
    if not chroma:
        port = lease_port(CHROMA_PORT, HOST)
        chroma = f"http://{HOST}:{port}"
        servers.append(_chroma(data_dir, port))
    gateway_port = lease_port(settings.gateway_port, settings.gateway_host)
    workers = _workers(settings, options, Addresses(kafka, chroma, gateway_port), lease_port, servers)
    others = tuple(service.name for service in (*servers, *workers) if service.name != CANARY)
    # Last: a canary that no gateway accepts yet, or none any more, would pass for a fault.
    workers = [replace(worker, after=others) if worker.name == CANARY else worker for worker in workers]
    dagster: list[Service] = []
    dagster_url = ""
    if options.dagster:
        port = lease_port(settings.dagster_port, HOST)
        dagster_url = f"http://{HOST}:{port}"
        addresses = Addresses(kafka, chroma, gateway_port)
        environment = worker_environment(settings, addresses) | aws_environment(settings)
        # Last: its start uses a core for several seconds, and nothing in the hot path waits for it.
        dagster.append(_dagster(data_dir, port, options, environment, others))
    return Stack(
        services=(*servers, *workers, *dagster),
        gateway=f"http://{_connect_host(settings.gateway_host)}:{gateway_port}",
        kafka=kafka,
        chroma=chroma,
        dagster=dagster_url,
    )


def _workers(
    settings: Settings, options: StackOptions, addresses: Addresses, lease_port: LeasePort, servers: Sequence[Service]
) -> list[Service]:
    embedded = {service.name for service in servers}
    log_only = tuple(name for name in ("broker",) if name in embedded)
    log_and_index = tuple(name for name in ("broker", "chroma") if name in embedded)
    wanted = [("gateway", "gateway", "0", log_only)]
    for modality, count in options.derivers.items():
        wanted += [
            (f"derive-{modality}{f'-{number}' if number else ''}", f"derive-{modality}", str(number), log_only)
            for number in range(count)
        ]
    wanted += [("index", "index", "0", log_and_index), ("archive", "archive", "0", log_only)]
    if settings.canary_interval_s:
        wanted.append((CANARY, CANARY, "0", ()))  # it shows that the others are away, so it needs none of them
    # Static membership is by instance: two hosts that share one Kafka would fence each other off.
    prefix = f"{settings.worker_instance_id}-" if "worker_instance_id" in settings.model_fields_set else ""
    workers = []
    preferred = settings.metrics_port or METRICS_PORT
    for name, worker, instance, needs in wanted:
        port = lease_port(preferred, settings.metrics_host)
        spare = lease_port(port + 1, settings.metrics_host)
        preferred = spare + 1
        url = f"http://{_connect_host(settings.metrics_host)}:{port}"
        workers.append(
            Service(
                name=name,
                command=(sys.executable, "-m", "mmplatform.worker", worker),
                environment=worker_environment(settings, addresses, instance=f"{prefix}{instance}", metrics_port=port)
                | (_REUSE_PORT if worker == "gateway" else {}),
                probe=HttpProbe(f"{url}/healthz"),
                needs=needs,
                metrics_url=url,
                successor_port=spare,
                exclusive=worker != "gateway",
                forkable=True,
                grace_s=_GATEWAY_GRACE_S if worker == "gateway" else _GRACE_S,
            )
        )
    return workers


def _broker(data_dir: Path, port: int) -> Service:
    command = (sys.executable, "-m", "mmplatform.local.broker", "--data", str(data_dir / "broker"))
    return Service(
        name="broker",
        command=(*command, "--host", HOST, "--port", str(port), "--exit-with-stdin"),
        environment={"PYTHONUNBUFFERED": "1", **FEW_ARENAS},
        probe=TcpProbe(HOST, port),
        pipe_stdin=True,
        start_timeout_s=60.0,
        grace_s=10.0,
    )


def _chroma(data_dir: Path, port: int) -> Service:
    command = (sys.executable, "-m", "mmplatform.local.services.chroma_server", "--path", str(data_dir / "chroma"))
    heartbeat = f"http://{HOST}:{port}/api/v2/heartbeat"
    return Service(
        name="chroma",
        command=(*command, "--host", HOST, "--port", str(port)),
        environment={"PYTHONUNBUFFERED": "1", "ANONYMIZED_TELEMETRY": "False", "NO_COLOR": "1", **FEW_ARENAS},
        probe=HttpProbe(heartbeat),
        heartbeat_url=heartbeat,
        start_timeout_s=60.0,
        grace_s=10.0,
    )


def _dagster(
    data_dir: Path, port: int, options: StackOptions, environment: Mapping[str, str], after: tuple[str, ...]
) -> Service:
    processes = (sys.executable, "-m", "mmplatform.local.services.dagster_processes")
    command = (*processes, "--host", HOST, "--port", str(port), *options.dagster)
    return Service(
        name=DAGSTER,
        command=command,
        environment={**environment, "DAGSTER_HOME": str(data_dir / "dagster"), "NO_COLOR": "1"},
        probe=HttpProbe(f"http://{HOST}:{port}/server_info"),
        after=after,
        cwd=options.dagster_cwd,
        has_children=True,
        start_timeout_s=300.0,
    )


def _connect_host(host: str) -> str:
    """Host by which this machine connects to a server that listens on ``host``."""
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104 - compared, not bound
        return HOST
    return f"[{host}]" if ":" in host else host
