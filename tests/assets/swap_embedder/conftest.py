"""The stores of a swap."""

from tests.pipeline.conftest import chroma, embedder, in_step, index, lakehouse, redactor, settings

__all__ = ["chroma", "embedder", "in_step", "index", "lakehouse", "redactor", "settings"]
