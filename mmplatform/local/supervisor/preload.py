"""Modules that the fork server imports once for all workers, in stages: a worker is forked after its own.

The derivers come first. They load models for seconds, and meanwhile the server imports what the others need.

A module that starts a thread at its import is not one of them: a thread does not survive a fork, but the locks and
queues that wait for it do. So onnxruntime (1 thread), polars (3) and pyarrow (1) stay with the worker that needs them;
measured by ``/proc/self/task`` after each import.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Final


@dataclass(frozen=True, slots=True)
class Stage:
    """Modules that are imported together, and the workers that are forked then, by the start of their names."""

    workers: tuple[str, ...]
    modules: tuple[str, ...]


_PRESIDIO: Final = "mmplatform.derive.pii.presidio_imports"
STAGES: Final = (
    Stage(
        ("derive-",),
        (
            _PRESIDIO,
            "mmplatform.worker",
            "mmplatform.consumers.deriver",
            "mmplatform.consumers.idle_calls",
            "mmplatform.pipeline.factories",
            "mmplatform.derive.pii.redactor",
            "mmplatform.derive.adapters.onnx_embedder",
            "quixstreams.state.rocksdb",
            "tokenizers",
        ),
    ),
    Stage(
        ("gateway", "index"),
        ("mmplatform.gateway.app", "mmplatform.retrieve.endpoints", "mmplatform.consumers.indexer", "chromadb"),
    ),
    Stage(("",), ("mmplatform.consumers.archiver", "mmplatform.lineage.landings", "pyiceberg.catalog.sql")),
)


def stage_number(worker: str) -> int:
    """Number of the stage after which a worker is forked."""
    return next(number for number, stage in enumerate(STAGES) if worker.startswith(stage.workers))


def preload(name: str) -> None:
    """Import a module that workers share. Imports start no thread; see :func:`count_threads`."""
    module = import_module(name)
    if name == _PRESIDIO:
        module.import_presidio()


def count_threads() -> int:
    """Threads of this process, those of native libraries included.

    Raises:
        OSError: not on Linux.
    """
    if not sys.platform.startswith("linux"):
        raise OSError("threads of native libraries can be counted on Linux only")
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - names of a kernel folder
