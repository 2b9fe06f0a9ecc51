"""The UI as people see it: a real web server, a real browser, the lineage of the assets."""

from __future__ import annotations

import pytest

from mmplatform.modalities import TABLES
from tests.browser.opened import WAIT_MS, browser_page, dagster_ui, keep, open_groups


@pytest.fixture(scope="module")
def ui(tmp_path_factory):
    """The address of a Dagster UI over an empty instance and an empty data directory."""
    home = tmp_path_factory.mktemp("dagster")
    with dagster_ui(home, {"MMPLATFORM_DATA_DIR": str(home / "data")}, daemon=False) as address:
        yield address


@pytest.fixture(scope="module")
def page():
    # High enough for the whole graph: what is out of sight is not on the page.
    with browser_page(height=1160) as opened:
        yield opened


@pytest.mark.browser
@pytest.mark.timeout(300)
def test_the_lineage_page_shows_every_asset(ui, page):
    page.goto(f"{ui}/asset-groups", wait_until="domcontentloaded")
    page.get_by_text("derived", exact=True).first.wait_for(timeout=WAIT_MS)
    graph = page.locator("foreignObject")
    open_groups(page, graph)
    page.goto(page.url, wait_until="domcontentloaded")  # it names the groups, and is drawn in the middle
    for name in (*TABLES, "index"):
        graph.get_by_text(name, exact=True).first.wait_for(timeout=WAIT_MS)
    left = {
        name: graph.get_by_text(name, exact=True).last.bounding_box()["x"]
        for name in ("raw_calls", "transcripts", "passages", "index")
    }
    assert list(left) == sorted(left, key=left.__getitem__), "the data goes from left to right"
    keep(page, "lineage")


@pytest.mark.browser
@pytest.mark.timeout(300)
def test_an_asset_page_shows_its_owner_its_columns_and_its_policy(ui, page):
    page.goto(f"{ui}/assets/transcripts?view=overview", wait_until="domcontentloaded")
    for text in ("Speech of calls", "derive", "speaker", "mean word probability"):
        page.get_by_text(text, exact=False).first.wait_for(timeout=WAIT_MS)
