"""The embedder as Pixeltable wants it: a function of a module that can be imported, with its arguments' types."""

import numpy as np
import pixeltable as pxt

from benchmarks.peers.minilm import MiniLM

LOADED: list[MiniLM] = []
"""Put here by the process before it opens the table."""


@pxt.udf  # type: ignore[untyped-decorator]
def minilm(text: str) -> pxt.Array[(384,), np.float32]:
    """A text's vector."""
    return LOADED[0].embed([text])[0]
