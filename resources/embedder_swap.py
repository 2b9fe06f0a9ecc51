"""The index and the models of an embedder swap as a Dagster resource, from the same settings as the stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from resources.base import ConfiguredResource

if TYPE_CHECKING:
    from mmplatform.land.index.embedder_registry import Space
    from mmplatform.pipeline.embedder_swap.swap import EmbedderSwap


class EmbedderSwapResource(ConfiguredResource):
    """Opens the index and the memo; a model is loaded on its first use."""

    def space(self, embedder: str) -> Space:
        """The space of an embedder by its name, or directory. Raises ``Misconfigured`` when it does not exist."""
        from mmplatform.pipeline.factories import resolve_space

        return resolve_space(self.settings(), embedder)

    @contextmanager
    def open(self) -> Iterator[EmbedderSwap]:
        """Everything that a swap needs.

        Raises:
            Misconfigured: the settings' embedder does not exist.
            Unavailable: no index is running, or the memo does not open.
        """
        from mmplatform.local.run_file import with_chroma_address
        from mmplatform.pipeline.factories import open_embedder_swap

        with open_embedder_swap(with_chroma_address(self.settings())) as swapping:
            yield swapping
