"""The lag check as Dagster runs it, over a real log."""

from __future__ import annotations

import pytest

from tests.assets.checks.check_runs import check, metadata

pytestmark = pytest.mark.broker


def test_the_lag_is_checked_against_the_gateways_water_marks(stores, monkeypatch):
    stores.send("interactions.chat", 3)
    assert check("raw_chats", "lag").passed
    monkeypatch.setenv("MMPLATFORM_CHAT_HIGH_WATER", "3")
    monkeypatch.setenv("MMPLATFORM_CHAT_LOW_WATER", "1")
    found = check("raw_chats", "lag")
    assert not found.passed
    assert metadata(found)["lag"] == 3
