"""Check ``canaries`` of the index: the gap that the platform's own synthetic events had, and what receipts claimed."""

from __future__ import annotations

from typing import Final

import dagster as dg

from assets.checks.factory import CheckResources, live_check
from assets.index import INDEX
from quality.checks.canaries import check_canaries
from quality.checks.result import CheckResult
from resources.readers.canaries import read_canaries

CANARIES: Final = "canaries"


def canaries_check() -> dg.AssetChecksDefinition:
    """The check."""

    def check(resources: CheckResources) -> CheckResult:
        return check_canaries(read_canaries(resources.stack))

    return live_check(
        INDEX,
        CANARIES,
        check,
        requires=("stack",),
        description=(
            "Synthetic events that go through the public gateway are found by the public search, in each topic "
            "partition, and no receipt of the last day claimed one that was not found. The metadata has their gap from "
            "the acknowledgement to the answer, over a day. They are in no table and in no other figure."
        ),
    )
