"""HTTP client of the running stack: its addresses, and requests to it with errors that name the fix."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from mmplatform.errors import Misconfigured, PlatformError, Rejected, Unavailable

if TYPE_CHECKING:
    from httpx import Client


def gateway_url(explicit: str = "") -> str:
    """The gateway's address: the explicit one, the running stack's, or that of the settings."""
    from mmplatform.local import run_file
    from mmplatform.settings import load

    settings = load()
    run = run_file.read_running(settings.data_dir)
    return explicit.rstrip("/") or (run.gateway if run else f"http://{settings.gateway_host}:{settings.gateway_port}")


def status_url(service: str) -> str:
    """URL of a worker's status page, from the settings or the running stack. Raises Unavailable when there is none."""
    from mmplatform.local import run_file
    from mmplatform.settings import load

    settings = load()
    if service == "index" and settings.index_status_url:
        return f"{settings.index_status_url}/status"
    run = run_file.read_running(settings.data_dir)
    worker = run.services.get(service) if run else None
    if worker is None:
        raise Unavailable(f"no {service} is running on {settings.data_dir}: start the stack with `mmplatform up`")
    return f"{worker.metrics_url}/status"


def canary_figures() -> dict[str, Any]:
    """Figures of the canaries by modality; empty where none run, or their process does not answer."""
    from mmplatform.local import run_file
    from mmplatform.settings import load

    settings = load()
    run = run_file.read_running(settings.data_dir)
    service = run.services.get(run_file.CANARY) if run else None
    address = settings.canary_status_url or (service.metrics_url if service else "")
    try:
        found: dict[str, Any] = request("GET", f"{address}/status")["canaries"] if address else {}
    except PlatformError:
        return {}
    return found


def shed_by_modality() -> dict[str, int]:
    """Events that the running derivers shed within the freshness window; a deriver that does not answer is left out."""
    import asyncio

    from mmplatform.local import run_file
    from mmplatform.local.status.overview import query_ready_workers
    from mmplatform.modalities import MODALITIES
    from mmplatform.settings import load

    run = run_file.read_running(load().data_dir)
    statuses = asyncio.run(query_ready_workers(run)) if run else {}
    return {
        modality: sum(status.shed for name, status in statuses.items() if name.startswith(spec.group))
        for modality, spec in MODALITIES.items()
    }


def open_client(url: str, timeout_s: float = 30.0) -> Client:
    """A client for many requests to one address: a new one costs 26 ms of CPU time, a request with it 0.2 ms."""
    import httpx

    from mmplatform.proxy import loopback_mounts

    return httpx.Client(timeout=timeout_s, mounts=loopback_mounts(url))


def request(method: str, url: str, *, json: Any = None, client: Client | None = None) -> Any:
    """Make one HTTP request, with a new client unless one is given.

    Raises:
        Unavailable: the address does not answer, or the platform is not ready.
        Rejected: the request is invalid; the message has the reason.
        Misconfigured: the address is invalid, or another server answers there.
    """
    import httpx

    try:
        with nullcontext(client) if client else open_client(url) as caller:
            answer = caller.request(method, url, json=json)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise Misconfigured(f"{url} is not an address: write it like http://127.0.0.1:8080") from None
    except httpx.TransportError as error:
        raise Unavailable(
            f"{url} does not answer ({type(error).__name__}): is it up? See `mmplatform status`"
        ) from None
    if answer.is_success:
        try:
            return answer.json()
        except ValueError:
            raise Misconfigured(f"{url} is not the platform: its answer is not JSON") from None
    raise _error_from_response(answer.status_code, answer.text)


def _error_from_response(status: int, text: str) -> PlatformError:
    import json as codec

    try:
        problem = codec.loads(text)
        detail = problem.get("detail") or problem.get("title") or text
    except ValueError:
        detail = text
    kind = Unavailable if status in {429, 503} else Rejected
    return kind(f"the platform answered {status}: {detail}")
