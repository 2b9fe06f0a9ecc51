"""The connection to the Chroma server: one process owns the index's files, everyone else comes here, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from mmplatform.errors import Misconfigured, PlatformError, Rejected, Unavailable
from mmplatform.settings import Settings

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.errors import ChromaError

_TIMEOUT_S: Final = 20.0  # an upsert of 1,000 rows takes 1 s; a server silent for this long is as good as gone


def connect(settings: Settings) -> Client:
    """A client with telemetry off and a timeout, which Chroma's own lacks.

    Raises:
        Unavailable: nothing answers at the address.
        Misconfigured: the address or the token is wrong.
    """
    import chromadb
    import httpx
    from chromadb.config import Settings as ChromaSettings

    address = urlsplit(settings.chroma)
    if address.scheme not in {"http", "https"} or not address.hostname:
        raise Misconfigured(
            "MMPLATFORM_CHROMA must look like http://host:port; `mmplatform up` fills it in for its own processes"
        )
    token = settings.chroma_token.get_secret_value()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with chroma_errors("connect"):
        # The constructor asks without a timeout: ask once with one before it.
        httpx.get(f"{settings.chroma.rstrip('/')}/api/v2/heartbeat", headers=headers, timeout=_TIMEOUT_S)
        client = chromadb.HttpClient(
            host=address.hostname,
            port=address.port or (443 if address.scheme == "https" else 80),
            ssl=address.scheme == "https",
            headers=headers,
            settings=ChromaSettings(anonymized_telemetry=False),
        )
        # No public option sets it; without it a hung server would hang its callers for ever.
        client._server._session.timeout = httpx.Timeout(_TIMEOUT_S)  # type: ignore[attr-defined]  # noqa: SLF001
        return cast("Client", client)


def disconnect(client: Client) -> None:
    """Close the client and its connections, which Chroma's own close leaves open."""
    owners: list[Any] = [client, client._admin_client]  # noqa: SLF001
    sessions = [each._server._session for each in owners]  # noqa: SLF001
    client.close()
    for session in sessions:
        session.close()


@contextmanager
def chroma_errors(doing: str) -> Iterator[None]:
    """Turn what Chroma's client raises into the error tree; a missing collection stays ``NotFoundError``."""
    import httpx
    from chromadb.errors import ChromaError, NotFoundError

    try:
        yield
    except (PlatformError, NotFoundError):
        raise
    except ChromaError as error:
        raise _mapped(error, doing) from error
    except httpx.TransportError as error:
        raise Unavailable(f"index: cannot {doing}: the server does not answer ({type(error).__name__})") from error
    except ValueError as error:
        if "connect" in str(error).lower():
            raise Unavailable(f"index: cannot {doing}: the server does not answer; is it up?") from error
        raise Rejected(f"index: cannot {doing}: the client refused the rows ({type(error).__name__})") from error
    except Exception as error:
        if type(error) is not Exception:
            raise
        # The client raises the bare class for an answer that is no error of Chroma's: a proxy's 502, say.
        raise Unavailable(f"index: cannot {doing}: the server's answer was not Chroma's; try again") from error


def _mapped(error: ChromaError, doing: str) -> PlatformError:
    name, code = type(error).__name__, HTTPStatus(error.code())
    if code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Misconfigured(f"index: cannot {doing}: {name}; mend MMPLATFORM_CHROMA_TOKEN")
    if code is HTTPStatus.TOO_MANY_REQUESTS or code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unavailable(f"index: cannot {doing}: {name}: {error.message()[:200]}")
    return Rejected(f"index: cannot {doing}: {name}")  # its message may quote a row
