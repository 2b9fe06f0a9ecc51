"""Where a model lies on this machine. Nothing here ever downloads: a missing model is told, with the mend."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

from mmplatform.errors import Misconfigured


def locate(name_or_dir: str, models_path: Path) -> Path:
    """The directory of a model: one that was pulled under ``models_path``, else a directory as it is.

    Raises:
        Misconfigured: there is neither; the message says how to get it.
    """
    pulled = models_path / name_or_dir
    if name_or_dir and (pulled / "COMPLETE").is_file():
        return pulled
    directory = Path(name_or_dir).expanduser()
    if name_or_dir and directory.is_dir():
        return directory
    raise Misconfigured(
        f"no model {name_or_dir!r}: it is neither in {models_path} nor a directory; "
        f"run `mmplatform models pull {name_or_dir}`, or `mmplatform models list` to see what there is"
    )


def is_hub_name(name: str) -> bool:
    """Whether a setting names a model on a hub: ``owner/name``, and no directory of ours."""
    owner, slash, model = name.partition("/")
    parts = bool(owner and slash and model) and "/" not in model and not name.startswith((".", "~"))
    return parts and not Path(name).exists()


def fingerprint(weights: Path) -> str:
    """12 hex digits that name a model's content: of the SHA-256 of its weights file.

    Raises:
        Misconfigured: there is no such file.
    """
    try:
        with weights.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError:
        raise Misconfigured(
            f"{weights.parent} has no {weights.name}: it is not a model of the expected kind; pull it again"
        ) from None


def described_width(directory: Path) -> int | None:
    """The width that a model's ``config.json`` names; ``None`` where there is none or it says nothing."""
    try:
        said = json.loads((directory / "config.json").read_bytes())
    except (OSError, ValueError):
        return None
    width = said.get("hidden_size") if isinstance(said, dict) else None
    return width if isinstance(width, int) else None


def quiet_transformers() -> None:
    """Call before transformers is imported: we want its tokenizers alone, yet it would warn that torch is missing."""
    logging.getLogger("transformers").addFilter(_is_not_about_torch)


def _is_not_about_torch(record: logging.LogRecord) -> bool:
    return "PyTorch was not found" not in record.getMessage()
