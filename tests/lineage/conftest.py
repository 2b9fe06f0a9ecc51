from __future__ import annotations

import pytest

from tests.lineage.collector import collecting


@pytest.fixture
def collector():
    with collecting() as (found, address):
        found.address = address
        yield found
