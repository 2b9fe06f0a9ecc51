"""Cache of what synthesizer and recognisers made of a seed's sentences and pages, beside the corpora of the models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmplatform.settings import load


def cached_json(name: str, key: str, make: Callable[[], Any]) -> Any:
    """Return the JSON that ``make`` returned for this key before, or make it now.

    Args:
        name: folder of the cache.
        key: everything that the result depends on: text, voice, version of a model.
        make: the expensive step.
    """
    folder = load().models_path.parent / "corpora" / "pii" / name
    path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _write(path, json.dumps(make(), ensure_ascii=False))
    return json.loads(path.read_text(encoding="utf-8"))


def _write(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.rename(path)
