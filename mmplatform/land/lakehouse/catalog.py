"""Opens the Iceberg catalog that the settings name; by default SQLite in the data directory."""

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

CATALOG_NAME = "mmplatform"
_BUSY_TIMEOUT_S = 30
_GLUE = "glue"
_ACCESS_ERRORS = frozenset(
    {"AccessDenied", "AccessDeniedException", "InvalidAccessKeyId", "InvalidClientTokenId", "SignatureDoesNotMatch"}
    | {"UnrecognizedClientException", "ExpiredToken", "ExpiredTokenException"}
)
"""AWS's codes for wrong keys or missing rights: a retry does not help."""


def open_catalog(settings: Settings, glue: Callable[[], Any] | None = None) -> Catalog:
    """Open the catalog. ``glue`` creates the client of AWS Glue, where the settings name it; by default pyiceberg's.

    Raises:
        Misconfigured: the address is of an unknown kind.
        Unavailable: it does not answer.
    """
    from pyiceberg.catalog import load_catalog

    with catalog_errors("open the catalog"):
        if glue is not None and urlsplit(settings.iceberg_catalog).scheme == _GLUE:
            from pyiceberg.catalog.glue import GlueCatalog

            return GlueCatalog(CATALOG_NAME, glue(), **catalog_properties(settings))
        return load_catalog(CATALOG_NAME, **catalog_properties(settings))


def catalog_properties(settings: Settings) -> dict[str, str]:
    """Properties for pyiceberg. Raises Misconfigured."""
    storage = _storage_properties(settings)
    # A local warehouse is a plain path: in a URI pyiceberg takes `%20` for part of the folder's name.
    if not settings.iceberg_catalog:
        folder = settings.data_dir.absolute() / "lakehouse"
        folder.mkdir(parents=True, exist_ok=True)
        return {"type": "sql", "uri": _sqlite_url(folder), "warehouse": settings.warehouse_location, **storage}
    scheme = urlsplit(settings.iceberg_catalog).scheme
    if scheme.startswith(("postgresql", "sqlite")):
        return {"type": "sql", "uri": settings.iceberg_catalog, "warehouse": settings.warehouse_location, **storage}
    if scheme.startswith("rest+"):
        return _rest_properties(settings) | storage
    if scheme == _GLUE:
        return {"type": "glue", "warehouse": settings.warehouse_location, **_aws_properties(settings), **storage}
    raise Misconfigured(
        "MMPLATFORM_ICEBERG_CATALOG must be postgresql+psycopg2://…, rest+http(s)://…, rest+sigv4+http(s)://… or "
        "glue://, or empty for a local file"
    )


def _sqlite_url(folder: Path) -> str:
    """The database URL; SQLAlchemy escapes the path."""
    from sqlalchemy.engine import URL

    url = URL.create("sqlite", database=str(folder / "catalog.sqlite"), query={"timeout": str(_BUSY_TIMEOUT_S)})
    return url.render_as_string(hide_password=False)


def _rest_properties(settings: Settings) -> dict[str, str]:
    """A REST catalog: with a bearer token, or with AWS signatures (S3 Tables, SeaweedFS) by the S3 keys."""
    token = settings.iceberg_catalog_token.get_secret_value()
    found = {
        "type": "rest",
        "uri": settings.iceberg_catalog.removeprefix("rest+").removeprefix("sigv4+"),
        "warehouse": settings.iceberg_warehouse,
        "token": token,
    }
    if settings.iceberg_catalog.startswith("rest+sigv4+"):
        found |= {"rest.sigv4-enabled": "true", "rest.signing-region": settings.s3_region, **_aws_properties(settings)}
    return {name: value for name, value in found.items() if value}


def _aws_properties(settings: Settings) -> dict[str, str]:
    """Credentials for a catalog of AWS: the S3 keys, or the default chain where there are none."""
    found = {
        "client.region": settings.s3_region,
        "client.access-key-id": settings.s3_access_key,
        "client.secret-access-key": settings.s3_secret_key.get_secret_value(),
    }
    return {name: value for name, value in found.items() if value}


def _storage_properties(settings: Settings) -> dict[str, str]:
    found: dict[str, Any] = {
        "s3.endpoint": settings.s3_endpoint,
        "s3.access-key-id": settings.s3_access_key,
        "s3.secret-access-key": settings.s3_secret_key.get_secret_value(),
        "s3.region": settings.s3_region if settings.s3_endpoint or settings.s3_access_key else "",
    }
    return {name: value for name, value in found.items() if value}


@contextmanager
def catalog_errors(action: str) -> Iterator[None]:
    """Map errors of catalogs and their stores to the error tree."""
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
        raise Misconfigured(f"lakehouse: cannot {action}: MMPLATFORM_ICEBERG_CATALOG is no database address") from error
    except (NotInstalledError, ModuleNotFoundError) as error:
        raise Misconfigured(
            f"lakehouse: cannot {action}: the driver that MMPLATFORM_ICEBERG_CATALOG names is not installed ({error})"
        ) from error
    except (UnauthorizedError, ForbiddenError, NoCredentialsError) as error:
        raise Misconfigured(
            f"lakehouse: cannot {action}: {type(error).__name__}; fix "
            "MMPLATFORM_ICEBERG_CATALOG_TOKEN or MMPLATFORM_S3_*_KEY"
        ) from error
    except (CommitFailedException, CommitStateUnknownException, ValidationException) as error:
        raise Unavailable(f"lakehouse: cannot {action}: another writer was faster too often; try again") from error
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _ACCESS_ERRORS:
            raise Misconfigured(
                f"lakehouse: cannot {action}: {code}; fix MMPLATFORM_S3_ACCESS_KEY and _SECRET_KEY or their rights"
            ) from error
        raise Unavailable(f"lakehouse: cannot {action}: {code or type(error).__name__}") from error
    except (SQLAlchemyError, RESTError, requests.RequestException, BotoCoreError, OSError) as error:
        raise Unavailable(f"lakehouse: cannot {action}: {type(error).__name__}; is the catalog there?") from error
