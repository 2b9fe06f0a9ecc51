"""Sets of a verdict that should be empty."""

from __future__ import annotations

from typing import ClassVar


class FaultSets:
    """Base of the verdicts: it names the sets of ids that are faults."""

    __slots__ = ()
    FAULTS: ClassVar[tuple[str, ...]] = ()

    @property
    def faults(self) -> dict[str, list[str]]:
        """The sets that should be empty and are not."""
        wrong = {name: getattr(self, name) for name in self.FAULTS}
        return {name: sorted(found) for name, found in wrong.items() if found}
