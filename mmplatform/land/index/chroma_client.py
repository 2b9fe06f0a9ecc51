"""Connection to the Chroma server: one process owns the index's files, all others use it over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, urlsplit

from mmplatform.errors import Misconfigured, PlatformError, Rejected, Unavailable
from mmplatform.proxy import loopback_mounts
from mmplatform.settings import Settings

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.auth import UserIdentity
    from chromadb.config import Settings as ChromaSettings
    from chromadb.errors import ChromaError

_EMPTY_SEGMENT_MESSAGE: Final = "hnsw segment reader: Nothing found"
"""Chroma 1.5's answer, for a moment, to a search of a collection whose first row is being written."""

_TIMEOUT_S: Final = 20.0  # an upsert of 1,000 rows takes 1 s; a server silent for this long is as good as gone


def _parse_address(settings: Settings) -> SplitResult:
    try:
        address = urlsplit(settings.chroma_url)
        is_valid = address.scheme in {"http", "https"} and address.hostname and address.port != 0
    except ValueError:  # half an IPv6 address, a port of letters
        is_valid = False
    if not is_valid:
        raise Misconfigured(
            "MMPLATFORM_CHROMA_URL must look like http://host:port; `mmplatform up` fills it in for its own processes"
        )
    return address


def connect(settings: Settings) -> Client:
    """A client without telemetry, with a timeout, which Chroma's own lacks, and without a proxy to this machine.

    Raises:
        Unavailable: nothing answers at the address, or another server does.
        Misconfigured: the address or the token is wrong.
    """
    import httpx
    from chromadb.config import Settings as ChromaSettings

    address = _parse_address(settings)
    token = settings.chroma_token.get_secret_value()
    chroma = ChromaSettings(
        anonymized_telemetry=False,
        chroma_api_impl="chromadb.api.fastapi.FastAPI",
        chroma_server_host=address.hostname,
        chroma_server_http_port=address.port or (443 if address.scheme == "https" else 80),
        chroma_server_ssl_enabled=address.scheme == "https",
        chroma_server_headers={"Authorization": f"Bearer {token}"} if token else {},
    )
    verify = chroma.chroma_server_ssl_verify
    with ExitStack() as opened, chroma_errors("connect"):

        def configure(server: Any) -> None:
            session = server._session  # noqa: SLF001 - no public option sets the timeout and the proxies
            server._session = opened.enter_context(  # noqa: SLF001
                httpx.Client(
                    headers=session.headers,
                    limits=server.http_limits,
                    verify=True if verify is None else verify,
                    timeout=_TIMEOUT_S,  # without it a hung server would hang its callers for ever
                    mounts=loopback_mounts(settings.chroma_url),
                )
            )
            session.close()

        client = _open(chroma, configure)
        opened.pop_all()  # from here on `disconnect` closes them
        return client


def _open(chroma: ChromaSettings, configure: Callable[[object], None]) -> Client:
    """Chroma's client; each of its two sessions is configured before its first request, in the constructor.

    Raises:
        Unavailable: the constructor raised another error than Chroma's own, all of which it turns into ValueErrors.
    """
    from chromadb.api.client import Client

    class ConfiguredClient(Client):
        def get_user_identity(self) -> UserIdentity:
            configure(self._server)
            return super().get_user_identity()

        def _validate_tenant_database(self, tenant: str, database: str) -> None:
            configure(self._admin_client._server)  # type: ignore[attr-defined]  # noqa: SLF001
            super()._validate_tenant_database(tenant, database)

    try:
        return ConfiguredClient(settings=chroma)
    except ValueError as error:
        raise Unavailable("index: cannot connect: the server does not answer as Chroma does; is it up?") from error


def disconnect(client: Client) -> None:
    """Close the client and its connections, which Chroma's own close leaves open."""
    owners: list[Any] = [client, client._admin_client]  # noqa: SLF001
    sessions = [owner._server._session for owner in owners]  # noqa: SLF001
    client.close()
    for session in sessions:
        session.close()


class InterruptedCall(Unavailable):
    """Chroma failed within a call, as it does when the collection is deleted meanwhile."""


@contextmanager
def chroma_errors(action: str) -> Iterator[None]:
    """Map errors of Chroma's client to the error tree; a missing collection stays ``NotFoundError``."""
    import httpx
    from chromadb.errors import ChromaError, NotFoundError

    try:
        yield
    except (PlatformError, NotFoundError):
        raise
    except ChromaError as error:
        if _EMPTY_SEGMENT_MESSAGE in error.message():
            raise NotFoundError(error.message()) from error
        raise _to_platform_error(error, action) from error
    except httpx.RequestError as error:
        raise Unavailable(f"index: cannot {action}: the server does not answer ({type(error).__name__})") from error
    except json.JSONDecodeError as error:
        # A ValueError too, but of the answer, not of the rows: a proxy's page with status 200, say.
        raise Unavailable(f"index: cannot {action}: the server's answer was not Chroma's; try again") from error
    except ValueError as error:
        if "connect" in str(error).lower():
            raise Unavailable(f"index: cannot {action}: the server does not answer; is it up?") from error
        raise Rejected(f"index: cannot {action}: the client refused the rows ({type(error).__name__})") from error
    except Exception as error:
        if type(error) is not Exception:
            raise
        # The client raises the bare class for an answer that is not an error of Chroma: a proxy's 502, say.
        raise Unavailable(f"index: cannot {action}: the server's answer was not Chroma's; try again") from error


def _to_platform_error(error: ChromaError, action: str) -> PlatformError:
    name, code = type(error).__name__, HTTPStatus(error.code())
    if code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Misconfigured(f"index: cannot {action}: {name}; fix MMPLATFORM_CHROMA_TOKEN")
    if name == "InternalError":
        return InterruptedCall(f"index: cannot {action}: {name}: {error.message()[:200]}")
    if code is HTTPStatus.TOO_MANY_REQUESTS or code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unavailable(f"index: cannot {action}: {name}: {error.message()[:200]}")
    return Rejected(f"index: cannot {action}: {name}")  # its message may quote a row
