"""Freshness in the UI after the windows have passed: a quiet stream, a broken one, a nightly table, an old backfill.

The policies have windows of a minute and a half: three ticks of the sensor. The stream is a log without any consumer,
so a record that is sent waits for ever.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

import dagster as dg
import pytest
from playwright.sync_api import expect

from mmplatform.kafka.topics import ensure_topics
from mmplatform.settings import load
from tests.assets.conftest import Stores
from tests.browser.opened import browser_page, dagster_ui, keep, refreshed
from tests.servers.broker import embedded_broker
from tests.waiting import eventually

pytestmark = [pytest.mark.browser, pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(1500)]

WINDOW_S = 90
WINDOWS = {"raw_chats": WINDOW_S, "raw_calls": WINDOW_S, "messages": WINDOW_S, "transcripts": 86_400}
OLD_HOUR = "2026-08-01-10:00"


@dataclass(frozen=True)
class Plane:
    """The UI's address, its instance, its environment, and the stores of the stream."""

    address: str
    instance: dg.DagsterInstance
    environment: dict[str, str]
    stores: Stores

    def materialized_at(self, asset):
        """Times of the materializations without a partition, the newest first."""
        records = self.instance.fetch_materializations(dg.AssetKey(asset), limit=50).records
        return [record.timestamp for record in records if record.partition_key is None]

    def checked_at(self, asset):
        """Time of the latest evaluation of the check ``complete_up_to``."""
        key = dg.AssetCheckKey(dg.AssetKey(asset), "complete_up_to")
        (found,) = self.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
        return found.create_timestamp


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    home = tmp_path_factory.mktemp("plane")
    with embedded_broker(home / "broker") as kafka:
        given = {
            "data_dir": str(home / "data"),
            "kafka_bootstrap_servers": kafka,
            "topic_partitions": "1",
            "freshness_windows": ",".join(f"{asset}={seconds}" for asset, seconds in WINDOWS.items()),
        }
        environment = {f"MMPLATFORM_{name.upper()}": value for name, value in given.items()}
        environment |= {"FRESHNESS_DAEMON_INTERVAL_SECONDS": "5", "DAGSTER_HOME": str(home / "dagster")}
        settings = load(**given)
        ensure_topics(settings)
        with (
            dagster_ui(home / "dagster", environment, daemon=True) as address,
            dg.DagsterInstance.from_config(str(home / "dagster")) as instance,
        ):
            yield Plane(address, instance, environment, Stores(settings))


@pytest.fixture(scope="module")
def page():
    with browser_page() as opened:
        yield opened


def shows_policy(plane, page, asset, text):
    """Open the page of an asset until its freshness policy shows a state."""
    page.goto(f"{plane.address}/assets/{asset}?view=overview", wait_until="domcontentloaded")
    refreshed(page, page.get_by_text(text, exact=True), within_s=300)  # no other word on the page is a policy's state


def shows_check(plane, page, asset, *texts):
    """Open the page of the check ``complete_up_to`` until it shows a result."""
    url = f"{plane.address}/assets/{asset}?view=checks&checkDetail=complete_up_to"
    page.goto(url, wait_until="domcontentloaded")
    for text in texts:
        refreshed(page, page.get_by_text(re.compile(text)), within_s=300)


def test_a_quiet_stream_is_green_after_its_windows_have_passed(plane, page):
    def passed():
        found = plane.materialized_at("raw_chats")
        return found and found[0] - found[-1] > WINDOW_S

    eventually(passed, within_s=300)
    for asset in WINDOWS:
        shows_policy(plane, page, asset, "Passing")
    shows_check(plane, page, "raw_chats", "complete up to")
    expect(page.get_by_text("join", exact=False)).to_have_count(0)  # a community's dialog
    keep(page, "quiet")


def test_a_broken_stream_is_red_after_its_window_while_others_and_a_nightly_table_stay_green(plane, page):
    plane.stores.send("interactions.call", 3)  # no archiver and no deriver runs
    shows_policy(plane, page, "raw_calls", "Failed")
    keep(page, "broken")
    shows_check(plane, page, "raw_calls", "3 records wait")
    # The same records wait for the nightly table, whose window is a day; nothing waits for the chats.
    for asset in ("transcripts", "raw_chats"):
        shows_policy(plane, page, asset, "Passing")
        keep(page, f"beside-a-broken-one-{asset}")


def test_an_old_backfill_on_a_stale_asset_leaves_its_check_red(plane, page):
    shows_policy(plane, page, "messages", "Passing")
    plane.stores.send("interactions.chat", 2)
    shows_policy(plane, page, "messages", "Failed")
    # The policy counts from the newest report, the check from the oldest record that waits: it is red later.
    shows_check(plane, page, "messages", "2 records wait", "^Failed$")
    backfill(plane)
    reported_at = time.time()
    eventually(lambda: plane.checked_at("messages") > reported_at, within_s=300)
    # Dagster's policy counts any partition: docs/how-to/dagster.md names that limit. It ends with the window.
    shows_check(plane, page, "messages", "2 records wait", "^Failed$")
    keep(page, "old-backfill")
    shows_policy(plane, page, "messages", "Failed")


def backfill(plane):
    """Report what a run of an hour of long ago reports; the run itself needs an index, and none runs here."""
    plane.instance.report_runless_asset_event(dg.AssetMaterialization("messages", partition=OLD_HOUR))
    newest = plane.instance.get_latest_materialization_event(dg.AssetKey("messages"))
    assert newest is not None
    assert newest.get_dagster_event().partition == OLD_HOUR
