"""The stores of a swap."""

from tests.pipeline.conftest import chroma, dual_write_index, embedder, index, lakehouse, redactor, settings

__all__ = ["chroma", "dual_write_index", "embedder", "index", "lakehouse", "redactor", "settings"]
