"""Format of a data directory: which major version of the log's records lies in it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from mmplatform.errors import Permanent
from mmplatform.events import SCHEMA_VERSION

_MARKER: Final = "format"
_DATA: Final = ("broker", "chroma")
"""Folders that only a stack creates. A verb or a run may create the lakehouse's before the first start, and tables of
format 1 are refused by themselves."""


def check_data_format(data_dir: Path) -> None:
    """Return when the directory is new or of this release's format; mark a new one.

    Raises:
        Permanent: an older or newer release wrote it; the message names the cure.
    """
    marker = data_dir / _MARKER
    if not marker.exists():
        if any((data_dir / name).is_dir() for name in _DATA):
            raise Permanent(
                f"{data_dir} was written by an older release, whose records have format 1. Start this release on "
                f"another directory (MMPLATFORM_DATA_DIR), then take the old log over: "
                f"mmplatform migrate --from {data_dir}"
            )
        marker.write_text(f"{SCHEMA_VERSION}\n", encoding="utf-8")
        return
    found = marker.read_text(encoding="utf-8").strip()
    if found != str(SCHEMA_VERSION):
        raise Permanent(
            f"{data_dir} has records of format {found}, and this release writes {SCHEMA_VERSION}: use the release that "
            "wrote it, or another directory (MMPLATFORM_DATA_DIR) and `mmplatform migrate`"
        )
