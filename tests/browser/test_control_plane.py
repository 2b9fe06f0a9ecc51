"""The control plane as a data engineer uses it: `dagster dev` with real stores, pages opened in a real browser."""

from __future__ import annotations

import re
from contextlib import closing
from datetime import UTC, datetime

import pytest
from playwright.sync_api import expect

from assets.checks.quarantine_rate import QUARANTINE_RATE
from assets.index import INDEX
from mmplatform.buckets import bucket_name
from mmplatform.land.index.store import ChromaIndex
from mmplatform.modalities import CHAT
from sensors import all_sensors
from tests.browser.control_plane import LOST, control_plane
from tests.browser.opened import WAIT_MS, browser_page, keep, refreshed
from tests.builders import chat
from tests.consumers.lost_store import World
from tests.waiting import eventually

pytestmark = [pytest.mark.browser, pytest.mark.models, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with control_plane(tmp_path_factory.mktemp("plane")) as running:
        yield running


@pytest.fixture(scope="module")
def page():
    with browser_page() as opened:
        yield opened


def message_ids(plane):
    rows = plane.lakehouse.table("messages").scan(selected_fields=("artifact_id",)).to_arrow().to_pylist()
    return [row["artifact_id"] for row in rows]


def test_every_sensor_is_running(plane, page):
    page.goto(f"{plane.address}/automation", wait_until="domcontentloaded")
    for sensor in all_sensors():
        row = page.locator(f"a[href$='/sensors/{sensor.name}']").locator("..")
        expect(row.locator("[class*=formatSwitch] input")).to_be_checked(timeout=WAIT_MS)
    keep(page, "sensors")


def test_the_page_of_an_asset_shows_its_freshness_landings_and_figures(plane, page):
    page.goto(f"{plane.address}/assets/transcripts?view=overview", wait_until="domcontentloaded")
    refreshed(page, page.get_by_text("Passing", exact=True))
    page.get_by_text("Latest materialization", exact=True).first.wait_for()
    keep(page, "transcripts")
    page.get_by_text("Plots", exact=True).first.click()
    page.get_by_text("rows", exact=True).first.wait_for()
    page.locator("canvas").first.wait_for()
    page.get_by_text("Partitions", exact=True).first.click()
    page.get_by_text(re.compile(r"Materialized \([1-9]")).wait_for()
    page.get_by_text("Checks", exact=True).first.click()
    for check in ("contract", "freshness_gap", "completeness", "freshness_breach"):
        page.get_by_text(check, exact=True).first.wait_for()


def test_a_check_that_failed_is_red(plane, page):
    page.goto(
        f"{plane.address}/assets/quarantine?view=checks&checkDetail={QUARANTINE_RATE}", wait_until="domcontentloaded"
    )
    refreshed(page, page.get_by_text("Failed", exact=True))
    page.get_by_text("25 events were quarantined in the last hour").wait_for()
    red = page.get_by_text("Failed", exact=True).last.evaluate("e => getComputedStyle(e).color")
    r, g, b = (float(part) for part in re.findall(r"[\d.]+", red)[:3])
    assert r > g + 60, f"the word is red, not rgb({r}, {g}, {b})"
    assert r > b + 60
    keep(page, "failed-check")


def materialize(plane, page, asset, partition):
    """Launch a run of one partition, as a user does it."""
    page.goto(f"{plane.address}/assets/{asset}?view=partitions", wait_until="domcontentloaded")
    page.get_by_role("button", name="Materialize").first.click()
    if asset == INDEX:  # its partitions are a list, and no range of time
        page.get_by_role("dialog").get_by_text("Partition selection").wait_for()
        page.get_by_text("Select a partition").filter(visible=True).first.click()
        page.get_by_text(partition, exact=True).filter(visible=True).last.click()
        page.keyboard.press("Escape")
    else:
        partitions = page.get_by_role("dialog").locator("input[type=text]").first
        partitions.fill(partition)
        partitions.press("Enter")
    page.get_by_role("button", name="Launch 1 run").click()


def test_an_hour_is_made_again_with_one_click(plane, page):
    assert LOST not in message_ids(plane)
    materialize(plane, page, "messages", plane.hour)
    eventually(lambda: LOST in message_ids(plane) or None, within_s=420)
    assert len(message_ids(plane)) == len(set(message_ids(plane)))
    page.goto(f"{plane.address}/runs", wait_until="domcontentloaded")
    refreshed(page, page.get_by_text("Success", exact=True), within_s=420)
    keep(page, "runs")
    page.goto(f"{plane.address}/assets/messages?view=partitions&partition={plane.hour}", wait_until="domcontentloaded")
    page.get_by_text("rows", exact=True).first.wait_for()
    keep(page, "reprocessed")


def test_a_bucket_of_the_index_is_rebuilt_with_one_click(plane, page):
    with closing(ChromaIndex.open(plane.settings)) as index:
        lost = min(index.ids())
        subject = plane.lakehouse.scan("passages", ids=[lost], columns=("subject_key",)).to_pylist()[0]["subject_key"]
        bucket = bucket_name(subject)
        index.delete([lost])
        assert lost not in set(index.ids())
        materialize(plane, page, INDEX, bucket)
        eventually(lambda: lost in set(index.ids()) or None, within_s=420)
    page.goto(f"{plane.address}/assets/index?view=partitions&partition={bucket}", wait_until="domcontentloaded")
    refreshed(page, page.get_by_text("from_log", exact=True), within_s=420)
    page.get_by_text("leftovers", exact=True).first.wait_for()
    keep(page, "bucket")


def test_an_hour_of_a_raw_table_is_landed_again_from_the_log_with_one_click(plane, page):
    world = World(plane.settings)
    at = datetime.strptime(plane.hour, "%Y-%m-%d-%H:%M").replace(tzinfo=UTC)
    events = [chat(number, event_id=f"logged-{number}", event_time=at, ingested_at=at) for number in range(50, 53)]
    world.archived(world.write(CHAT.topic, *events)[-1])

    def landed():
        rows = plane.lakehouse.scan("raw_chats", columns=("event_id",)).to_pylist()
        return {event.event_id for event in events} <= {row["event_id"] for row in rows}

    assert not landed()
    materialize(plane, page, "raw_chats", plane.hour)
    eventually(lambda: landed() or None, within_s=420)
    page.goto(f"{plane.address}/assets/raw_chats?view=partitions&partition={plane.hour}", wait_until="domcontentloaded")
    refreshed(page, page.get_by_text("unverified", exact=True), within_s=420)
    keep(page, "restored")


def test_no_tick_of_a_sensor_or_schedule_has_failed(plane):
    log = (plane.settings.data_dir.parent / "dagster" / "webserver.log").read_text(encoding="utf-8")
    assert "Checking for new runs for sensor" in log
    assert [line for line in log.splitlines() if "caught an error" in line] == []
