"""An environment for each peer, made once, of pinned versions, beside the models."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mmplatform.settings import load

_MODEL: Final = ("onnxruntime==1.31.0", "tokenizers==0.23.3", "numpy==2.4.6")


@dataclass(frozen=True, slots=True)
class Peer:
    """Packages to install, the module that drives them, and the settings that it is used with, in words.

    ``files``: it reads a folder with a file for each chat.
    """

    name: str
    module: str
    pins: tuple[str, ...]
    settings: str
    files: bool = False


PEERS: Final = {
    peer.name: peer
    for peer in (
        Peer(
            "lancedb loop",
            "lancedb_loop",
            ("lancedb==0.40.0", "pyarrow"),
            "merge_insert by id, batches of at most 64, optimize() every 50 writes, no vector index",
        ),
        Peer(
            "chroma loop",
            "chroma_loop",
            ("chromadb==1.5.9",),
            "`chroma run`, upsert by id, batches of at most 64, HNSW with cosine, else as it comes",
        ),
        Peer(
            "cocoindex",
            "cocoindex_app",
            ("cocoindex[lancedb]==1.0.26",),
            "live mode, a file for each chat, memo=True, into LanceDB, else as it comes",
            files=True,
        ),
        Peer(
            "pixeltable",
            "pixeltable_table",
            ("pixeltable==0.7.21",),
            "embedding index on text, batch_update by id, batches of at most 64, else as it comes",
        ),
        Peer(
            "pathway",
            "pathway_app",
            ("pathway==0.33.0",),
            "upsert session by primary key, batches and a backlog of at most 64, commits every 50 ms, exact index in "
            "memory, its own REST server, SELECTIVE_PERSISTING of the input, one worker, else as it comes",
        ),
    )
}


class NotHere(Exception):
    """A peer cannot be installed on this machine; the message says why."""


def python_of(peer: Peer) -> Path:
    """The interpreter of a peer's environment, made when it is not there. Raises NotHere."""
    pins = (*peer.pins, *_MODEL)
    digest = hashlib.sha256(" ".join(pins).encode()).hexdigest()[:8]
    home = load().models_path.parent / "peers" / f"{peer.module}-{digest}"
    python = home / "bin" / "python"
    if not (home / "COMPLETE").exists():
        _run([sys.executable, "-m", "venv", "--clear", str(home)])
        uv = Path(sys.executable).with_name("uv")
        installer = (
            [str(uv), "pip", "install", "--python", str(python)]
            if uv.exists()
            else [str(python), "-m", "pip", "install"]
        )
        _run([*installer, "-q", *pins])
        (home / "COMPLETE").write_text(" ".join(pins))
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotHere(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
