"""Which Iceberg catalog the settings name, opened. SQLite in the data directory by default."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mmplatform.errors import Misconfigured, PlatformError, Unavailable
from mmplatform.settings import Settings

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

NAME = "mmplatform"
_BUSY_S = 30
_GLUE = "glue"
_REFUSED = frozenset(
    {"AccessDenied", "AccessDeniedException", "InvalidAccessKeyId", "InvalidClientTokenId", "SignatureDoesNotMatch"}
    | {"UnrecognizedClientException", "ExpiredToken", "ExpiredTokenException"}
)
"""What AWS calls wrong keys or missing rights: trying again does not help."""


def open_catalog(settings: Settings, glue: Callable[[], Any] | None = None) -> Catalog:
    """Open the catalog. ``glue`` makes the client of AWS Glue, where the settings name it; by default ours.

    Raises:
        Misconfigured: the address is of no kind that is known.
        Unavailable: it does not answer.
    """
    from pyiceberg.catalog import load_catalog

    with catalog_errors("open the catalog"):
        if glue is not None and urlsplit(settings.iceberg_catalog).scheme == _GLUE:
            from pyiceberg.catalog.glue import GlueCatalog

            return GlueCatalog(NAME, glue(), **properties(settings))
        return load_catalog(NAME, **properties(settings))


def properties(settings: Settings) -> dict[str, str]:
    """What pyiceberg is told. Raises Misconfigured."""
    storage = _storage(settings)
    # A local warehouse is a plain path: pyiceberg takes a URI's `%20` for part of the folder's name.
    if not settings.iceberg_catalog:
        folder = settings.data_dir.absolute() / "lakehouse"
        folder.mkdir(parents=True, exist_ok=True)
        return {"type": "sql", "uri": _sqlite(folder), "warehouse": settings.warehouse_location, **storage}
    scheme = urlsplit(settings.iceberg_catalog).scheme
    if scheme.startswith(("postgresql", "sqlite")):
        return {"type": "sql", "uri": settings.iceberg_catalog, "warehouse": settings.warehouse_location, **storage}
    if scheme.startswith("rest+"):
        return _rest(settings) | storage
    if scheme == _GLUE:
        return {"type": "glue", "warehouse": settings.warehouse_location, **_aws(settings), **storage}
    raise Misconfigured(
        "MMPLATFORM_ICEBERG_CATALOG must be postgresql+psycopg2://…, rest+http(s)://…, rest+sigv4+http(s)://… or "
        "glue://, or empty for a local file"
    )


def _sqlite(folder: Path) -> str:
    """SQLAlchemy knows which signs of a path its URLs want escaped."""
    from sqlalchemy.engine import URL

    url = URL.create("sqlite", database=str(folder / "catalog.sqlite"), query={"timeout": str(_BUSY_S)})
    return url.render_as_string(hide_password=False)


def _rest(settings: Settings) -> dict[str, str]:
    """A REST catalog: with a bearer token, or signed as AWS does it (S3 Tables, SeaweedFS) with the S3 keys."""
    token = settings.iceberg_catalog_token.get_secret_value()
    found = {
        "type": "rest",
        "uri": settings.iceberg_catalog.removeprefix("rest+").removeprefix("sigv4+"),
        "warehouse": settings.iceberg_warehouse,
        "token": token,
    }
    if settings.iceberg_catalog.startswith("rest+sigv4+"):
        found |= {"rest.sigv4-enabled": "true", "rest.signing-region": settings.s3_region, **_aws(settings)}
    return {name: value for name, value in found.items() if value}


def _aws(settings: Settings) -> dict[str, str]:
    """Who we are to a catalog of AWS: the S3 keys, or the default chain where there are none."""
    found = {
        "client.region": settings.s3_region,
        "client.access-key-id": settings.s3_access_key,
        "client.secret-access-key": settings.s3_secret_key.get_secret_value(),
    }
    return {name: value for name, value in found.items() if value}


def _storage(settings: Settings) -> dict[str, str]:
    found: dict[str, Any] = {
        "s3.endpoint": settings.s3_endpoint,
        "s3.access-key-id": settings.s3_access_key,
        "s3.secret-access-key": settings.s3_secret_key.get_secret_value(),
        "s3.region": settings.s3_region if settings.s3_endpoint or settings.s3_access_key else "",
    }
    return {name: value for name, value in found.items() if value}


@contextmanager
def catalog_errors(doing: str) -> Iterator[None]:
    """Turn what catalogs and their stores raise into the error tree."""
    import requests
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
    from pyiceberg.exceptions import (
        CommitFailedException,
        CommitStateUnknownException,
        ForbiddenError,
        NotInstalledError,
        RESTError,
        UnauthorizedError,
        ValidationException,
    )
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    try:
        yield
    except PlatformError:
        raise
    except ArgumentError as error:
        raise Misconfigured(f"lakehouse: cannot {doing}: MMPLATFORM_ICEBERG_CATALOG is no database address") from error
    except (NotInstalledError, ModuleNotFoundError) as error:
        raise Misconfigured(
            f"lakehouse: cannot {doing}: the driver that MMPLATFORM_ICEBERG_CATALOG names is not installed ({error})"
        ) from error
    except (UnauthorizedError, ForbiddenError, NoCredentialsError) as error:
        raise Misconfigured(
            f"lakehouse: cannot {doing}: {type(error).__name__}; correct "
            "MMPLATFORM_ICEBERG_CATALOG_TOKEN or MMPLATFORM_S3_*_KEY"
        ) from error
    except (CommitFailedException, CommitStateUnknownException, ValidationException) as error:
        raise Unavailable(f"lakehouse: cannot {doing}: another writer was quicker too often; try again") from error
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _REFUSED:
            raise Misconfigured(
                f"lakehouse: cannot {doing}: {code}; mend MMPLATFORM_S3_ACCESS_KEY and _SECRET_KEY or their rights"
            ) from error
        raise Unavailable(f"lakehouse: cannot {doing}: {code or type(error).__name__}") from error
    except (SQLAlchemyError, RESTError, requests.RequestException, BotoCoreError, OSError) as error:
        raise Unavailable(f"lakehouse: cannot {doing}: {type(error).__name__}; is the catalog there?") from error
