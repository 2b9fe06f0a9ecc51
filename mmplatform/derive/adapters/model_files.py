"""Model files on this machine. Nothing here downloads: the error of a missing model names the command that does."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Final

from mmplatform.derive.readable import READABLE_VERSION
from mmplatform.errors import Misconfigured

CTRANSLATE2_WEIGHTS: Final = "model.bin"


def locate_model(name_or_dir: str, models_path: Path) -> Path:
    """Find a model's directory: one pulled under ``models_path``, else ``name_or_dir`` as a directory.

    Raises:
        Misconfigured: neither exists; the message names the command that pulls it.
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
    """Check whether a setting names a model on a hub: ``owner/name``, and no existing path."""
    owner, slash, model = name.partition("/")
    parts = bool(owner and slash and model) and "/" not in model and not name.startswith((".", "~"))
    return parts and not Path(name).exists()


def embedder_version(directory: Path) -> str:
    """Version of an embedder: its weights, and how texts are read for it. Raises Misconfigured."""
    weights = CTRANSLATE2_WEIGHTS if is_ctranslate2_model(directory) else "model.onnx"
    return f"{weights_fingerprint(directory / weights)}-r{READABLE_VERSION}"


def is_ctranslate2_model(directory: Path) -> bool:
    """Check whether CTranslate2 runs the embedder in a directory; where a graph is too, onnxruntime does."""
    return (directory / CTRANSLATE2_WEIGHTS).is_file() and not (directory / "model.onnx").is_file()


def weights_fingerprint(weights: Path) -> str:
    """Identify a model's content by 12 hex digits of the SHA-256 of its weights file.

    Raises:
        Misconfigured: the file is missing.
    """
    try:
        with weights.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError:
        raise Misconfigured(
            f"{weights.parent} has no {weights.name}: it is not a model of the expected kind; pull it again"
        ) from None


def configured_width(directory: Path) -> int | None:
    """Read the vector width from a model's ``config.json``; ``None`` without the file or the field."""
    try:
        config = json.loads((directory / "config.json").read_bytes())
    except (OSError, ValueError):
        return None
    width = config.get("hidden_size") if isinstance(config, dict) else None
    return width if isinstance(width, int) else None


def silence_torch_warning() -> None:
    """Suppress transformers' warning about missing torch, before its import: only its tokenizers are used."""
    logging.getLogger("transformers").addFilter(_is_not_torch_warning)


def _is_not_torch_warning(record: logging.LogRecord) -> bool:
    return "PyTorch was not found" not in record.getMessage()
