"""Modules that the fork server imports once for all workers.

A module that starts a thread at its import is not one of them: a thread does not survive a fork, but the locks and
queues that wait for it do. So onnxruntime (1 thread), polars (3) and pyarrow (1) stay with the worker that needs them;
measured by ``/proc/self/task`` after each import.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Final

PRELOADED: Final = (
    "mmplatform.worker",
    "mmplatform.consumers.deriver",
    "mmplatform.consumers.idle_calls",
    "mmplatform.consumers.indexer",
    "mmplatform.consumers.archiver",
    "mmplatform.pipeline.factories",
    "mmplatform.derive.pii.redactor",
    "mmplatform.derive.adapters.onnx_embedder",
    "mmplatform.gateway.app",
    "mmplatform.retrieve.endpoints",
    "mmplatform.lineage.landings",
    "quixstreams.state.rocksdb",
    "tokenizers",
    "chromadb",
    "pyiceberg.catalog.sql",
)
_PRESIDIO: Final = "mmplatform.derive.pii.presidio_imports"


def preload() -> None:
    """Import everything that workers share. Imports start no thread; see :func:`count_threads`."""
    import_module(_PRESIDIO).import_presidio()
    for name in PRELOADED:
        import_module(name)


def count_threads() -> int:
    """Threads of this process, those of native libraries included.

    Raises:
        OSError: not on Linux.
    """
    if not sys.platform.startswith("linux"):
        raise OSError("threads of native libraries can be counted on Linux only")
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - names of a kernel folder
