"""Dagster's configuration ``dagster.yaml``: written from the settings, and checked by ``doctor``.

``python -m mmplatform.local.services.dagster_home`` writes it into ``dagster/`` of the data directory and ends, for
deployments that start Dagster's processes themselves. It contains no secret: the database is named by its variable, and
S3's keys come from the environment, see :func:`aws_environment`. Dagster is not imported here.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from mmplatform.errors import Misconfigured, PlatformError
from mmplatform.settings import Settings, load
from mmplatform.settings.private_files import restrict_data_dir, use_private_umask

GENERATED_HEADER: Final = (
    "# Written by `mmplatform up` at each start. Take this line away, and what you change here stays."
)
_BASE_CONFIG: Final = """\
telemetry:
  enabled: false
# No dialog that asks to join a community.
nux:
  enabled: false
# One run of a pool at a time: two that derive at once would wait for each other's processor and hold models twice.
# By the run, so that one which waits does so in the queue, and not as a process.
concurrency:
  pools:
    default_limit: 1
    granularity: run
# Days for which Dagster keeps what its sensors and schedules did; without this it keeps all but skipped ticks for ever.
retention:
  sensor:
    purge_after_days: {skipped: 1, started: 7, success: 7, failure: 30}
  schedule:
    purge_after_days: {skipped: 30, started: 30, success: 90, failure: 90}
"""
_POSTGRES_CONFIG: Final = """\
storage:
  postgres:
    postgres_url:
      env: MMPLATFORM_DAGSTER_POSTGRES_URL
"""
_ONCE: Final = "# Written once by `mmplatform up`; yours to change.\ntelemetry:\n  enabled: false\n"
_ONCE_LIMITED: Final = f"""\
{_ONCE}# One step of a pool at a time: two runs that derive the same hour would do each other's work.
concurrency:
  pools:
    default_limit: 1
"""
_EARLIER_FILES: Final = frozenset({_ONCE, _ONCE_LIMITED})
"""Complete files of earlier releases, which wrote them once: an unchanged one has no edits of the user."""
_UPLOAD_INTERVAL_S: Final = 30
"""Upload interval for the log of a running step: at most this much is lost with the machine."""


def prepare(home: Path, settings: Settings) -> None:
    """Create the folder and write ``dagster.yaml``, unless the user has taken it over.

    A user takes it over by removing its first line, or by editing the file of an earlier release.

    Raises:
        Misconfigured: the settings want Postgres, and the package for it is not installed.
        OSError: the folder cannot be written.
    """
    if settings.dagster_postgres_url.get_secret_value() and importlib.util.find_spec("dagster_postgres") is None:
        raise Misconfigured("MMPLATFORM_DAGSTER_POSTGRES_URL needs a package: pip install 'mmplatform[postgres]'")
    home.mkdir(parents=True, exist_ok=True)
    file = home / "dagster.yaml"
    if not file.exists() or _is_generated(file.read_text(encoding="utf-8")):
        file.write_text(dagster_yaml(home, settings), encoding="utf-8")


def dagster_yaml(home: Path, settings: Settings) -> str:
    """Return the text of ``dagster.yaml``."""
    parts = [f"{GENERATED_HEADER}\n", _BASE_CONFIG]
    if settings.dagster_postgres_url.get_secret_value():
        parts.append(_POSTGRES_CONFIG)
    if settings.dagster_compute_logs_url:
        parts.append(_compute_logs(home, settings))
    return "".join(parts)


def aws_environment(settings: Settings) -> dict[str, str]:
    """S3 settings as variables of the AWS libraries, for Dagster's own connections; empty settings are left out.

    Without keys the AWS libraries use their default chain.
    """
    if not settings.dagster_compute_logs_url:
        return {}
    found = {
        "AWS_ACCESS_KEY_ID": settings.s3_access_key,
        "AWS_SECRET_ACCESS_KEY": settings.s3_secret_key.get_secret_value(),
        "AWS_DEFAULT_REGION": settings.s3_region,
        # Only AWS supports trailing checksums; other stores refuse or store them.
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required" if settings.s3_endpoint else "",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required" if settings.s3_endpoint else "",
    }
    return {name: value for name, value in found.items() if value}


def missing_settings(home: Path, settings: Settings) -> list[str]:
    """List settings that the platform needs and the existing ``dagster.yaml`` lacks.

    Raises:
        Misconfigured: it cannot be read.
    """
    given = _read(home / "dagster.yaml")
    found = []
    if not isinstance(_nested(given, "concurrency", "pools", "default_limit"), int):
        found.append("concurrency.pools.default_limit: two runs could derive the same hour at once")
    if _nested(given, "concurrency", "pools", "granularity") != "run":
        found.append("concurrency.pools.granularity: a run that waits for its pool would be a waiting process")
    if without := [
        kind for kind in ("sensor", "schedule") if not _nested(given, "retention", kind, "purge_after_days")
    ]:
        found.append(f"retention: every tick of a {' and '.join(without)} would be stored for ever")
    if settings.dagster_postgres_url.get_secret_value() and not _nested(given, "storage", "postgres"):
        found.append("storage.postgres: MMPLATFORM_DAGSTER_POSTGRES_URL is not used")
    if settings.dagster_compute_logs_url and _nested(given, "compute_logs", "class") != "S3ComputeLogManager":
        found.append("compute_logs: MMPLATFORM_DAGSTER_COMPUTE_LOGS_URL is not used")
    return found


def _is_generated(text: str) -> bool:
    return text.startswith(GENERATED_HEADER) or text in _EARLIER_FILES


def _compute_logs(home: Path, settings: Settings) -> str:
    address = urlsplit(settings.dagster_compute_logs_url)
    config: dict[str, object] = {
        "bucket": address.netloc,
        "prefix": address.path.strip("/") or "dagster",
        "local_dir": str(home / "storage"),
        "endpoint_url": settings.s3_endpoint,
        "region": settings.s3_region,
        "upload_interval": _UPLOAD_INTERVAL_S,
        "skip_empty_files": True,
    }
    lines = [f"    {name}: {json.dumps(value)}\n" for name, value in config.items() if value]
    head = "compute_logs:\n  module: dagster_aws.s3.compute_log_manager\n  class: S3ComputeLogManager\n  config:\n"
    return head + "".join(lines)


def _read(file: Path) -> Any:
    from omegaconf import OmegaConf
    from yaml import YAMLError

    try:
        return OmegaConf.to_container(OmegaConf.load(file)) if file.exists() else {}
    except (YAMLError, OSError, ValueError) as error:
        raise Misconfigured(f"{file} cannot be read ({type(error).__name__}): fix it or delete it") from error


def _nested(given: Any, *path: str) -> Any:
    for name in path:
        given = given.get(name) if isinstance(given, Mapping) else None
    return given


def main() -> int:
    """Write the file; the exit code is 1, with one line on standard error, when it cannot be written."""
    use_private_umask()
    try:
        settings = load()
        restrict_data_dir(settings.data_dir)
        prepare(settings.data_dir.absolute() / "dagster", settings)
    except (PlatformError, OSError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
