"""The stores of a reprocessing run."""

from tests.pipeline.conftest import chroma, embedder, index, lakehouse, redactor, settings

__all__ = ["chroma", "embedder", "index", "lakehouse", "redactor", "settings"]
