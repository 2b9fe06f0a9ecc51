"""Checks the configured models: present, and on request byte for byte as pinned."""

from __future__ import annotations

from pathlib import Path

from mmplatform.derive.adapters.model_files import is_hub_name, locate_model
from mmplatform.errors import Misconfigured
from mmplatform.local.doctor.finding import Finding
from mmplatform.local.models import verify
from mmplatform.settings import Settings


def check_models(settings: Settings) -> list[Finding]:
    """Check that every configured model is on this machine, or can be downloaded by its loader."""
    return [_model(settings.models_path, setting, name) for setting, name in _configured_models(settings).items()]


def _model(models_path: Path, setting: str, name: str) -> Finding:
    check = f"model {setting}"
    try:
        return Finding(check, "ok", str(locate_model(name, models_path)))
    except Misconfigured as error:
        if setting == "asr_model" and is_hub_name(name):
            fix = "no action needed when the hub can be reached from here; else download it and set the directory"
            return Finding(check, "warning", f"{name} is downloaded from a model hub at the first start", fix)
        detail, _, fix = str(error).partition("; ")
        return Finding(check, "failed", detail, fix)


def check_model_files(settings: Settings) -> list[Finding]:
    """Compare the files of the configured models with their pinned SHA-256; takes seconds, so only on request."""
    found = []
    for setting, name in _configured_models(settings).items():
        check, directory, pinned = f"files of {setting}", settings.models_path / name, verify.PINNED.get(name, {})
        if changed := verify.changed_files(name, directory):
            fix = f"delete {directory}, then `mmplatform models pull {name}`"
            found.append(Finding(check, "failed", f"{name}: not as pinned: {', '.join(changed)}", fix))
            continue
        found.append(Finding(check, "ok", f"{name}: {len(pinned) or 'none of its'} files have their pinned SHA-256"))
    return found


def _configured_models(settings: Settings) -> dict[str, str]:
    return {
        "asr_model": settings.asr_model,
        "embedding_model": settings.embedding_model,
        "ner_model": settings.ner_model,
        "language_model": settings.language_model,
    }
