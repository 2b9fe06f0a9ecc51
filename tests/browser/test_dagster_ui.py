"""The UI as people see it: a real web server, a real browser, the lineage of the assets."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import TimeoutError as TooSlow
from playwright.sync_api import sync_playwright

from mmplatform.modalities import TABLES
from tests.servers.process import free_ports, program, running
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
CHROMIUM = "/usr/bin/chromium"
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--no-first-run",
)
READY_S = 120
WAIT_MS = 90_000
OPENING_MS = 15_000


@pytest.fixture(scope="module")
def ui(tmp_path_factory):
    """The address of a Dagster UI over an empty instance and an empty data directory."""
    home = tmp_path_factory.mktemp("dagster")
    # Without a file Dagster warns; with telemetry the web server calls home; a greeting would swallow the keys, sooner
    # or later after the page is there.
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\nnux:\n  enabled: false\n")
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    beside = program("dagster-webserver", mend="pip install -e .")
    with running(
        [sys.executable, beside, "-w", str(ROOT / "workspace.yaml"), "-h", "127.0.0.1", "-p", str(port)],
        log=home / "webserver.log",
        ready=lambda: _answers(address),
        within_s=READY_S,
        env=os.environ | {"DAGSTER_HOME": str(home), "MMPLATFORM_DATA_DIR": str(home / "data")},
        cwd=ROOT,
    ):
        yield address


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/server_info", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def page():
    if not Path(CHROMIUM).exists():
        pytest.skip(f"needs {CHROMIUM} (Debian's package chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield browser.new_page(viewport={"width": 1500, "height": 760})
        browser.close()


def open_groups(page, graph):
    """Press Alt+E, which opens or closes all groups, until they are open: it is heard once the graph is drawn."""

    def opened():
        page.keyboard.press("Alt+e")
        with suppress(TooSlow):
            graph.get_by_text(TABLES[0], exact=True).first.wait_for(timeout=OPENING_MS)
            return True

    eventually(opened, within_s=WAIT_MS / 1000)


@pytest.mark.browser
@pytest.mark.timeout(300)
def test_the_lineage_page_shows_every_asset(ui, page, tmp_path):
    page.goto(f"{ui}/asset-groups", wait_until="domcontentloaded")
    page.get_by_text("derived", exact=True).first.wait_for(timeout=WAIT_MS)
    graph = page.locator("foreignObject")
    open_groups(page, graph)
    for name in (*TABLES, "index"):
        graph.get_by_text(name, exact=True).first.wait_for(timeout=WAIT_MS)
    left = {
        name: graph.get_by_text(name, exact=True).last.bounding_box()["x"]
        for name in ("raw_calls", "transcripts", "passages", "index")
    }
    assert list(left) == sorted(left, key=left.__getitem__), "the data goes from left to right"
    page.wait_for_timeout(2_000)  # the graph glides into place
    page.screenshot(path=tmp_path / "lineage.png")
    assert (tmp_path / "lineage.png").stat().st_size > 10_000


@pytest.mark.browser
@pytest.mark.timeout(300)
def test_an_asset_page_shows_its_owner_its_columns_and_its_policy(ui, page):
    page.goto(f"{ui}/assets/transcripts?view=overview", wait_until="domcontentloaded")
    for text in ("What was said in calls", "derive", "speaker", "mean word probability"):
        page.get_by_text(text, exact=False).first.wait_for(timeout=WAIT_MS)
