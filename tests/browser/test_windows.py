"""A failing window as a data engineer sees it: red, with its figures and its plot."""

from __future__ import annotations

import dagster as dg
import pytest

from assets.checks.windows import check_names
from definitions import defs
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.settings import load
from tests.assets.checks.check_runs import HOUR
from tests.assets.checks.windows_tables import hour_records, land, land_history, spoken
from tests.browser.opened import browser_page, dagster_ui, keep, refreshed

pytestmark = [pytest.mark.browser, pytest.mark.timeout(480)]
TABLE = "transcripts"


@pytest.fixture(scope="module")
def ui(tmp_path_factory):
    """The address of a UI over one evaluation of an hour in which the recognition guesses Welsh."""
    home = tmp_path_factory.mktemp("windows")
    environment = {"MMPLATFORM_DATA_DIR": str(home / "data")}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        lakehouse = Lakehouse.open(load())
        lakehouse.ensure_tables()
        land_history(lakehouse, spoken, days=7)
        guessed = hour_records(lambda number, at: spoken(number, at, confidence=0.2, language="cy"), rows=200)
        land(lakehouse, guessed)
        with dagster_ui(home / "dagster", environment, daemon=False) as address:
            evaluate(home / "dagster")
            yield address


def evaluate(home):
    keys = {dg.AssetCheckKey(dg.AssetKey(TABLE), name) for name in check_names(TABLE)}
    job = defs.resolve_implicit_global_asset_job_def().get_subset(asset_check_selection=keys)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        run_config = {"ops": {f"{TABLE}_windows": {"config": {"hour": HOUR}}}}
        job.execute_in_process(instance=instance, run_config=run_config)


@pytest.fixture(scope="module")
def page():
    with browser_page(height=1100) as opened:
        yield opened


@pytest.mark.parametrize("name", ["volume", "confidence", "language_mix", "drift"])
def test_a_failing_window_is_seen_with_its_plot(ui, page, name):
    page.goto(f"{ui}/assets/{TABLE}?view=checks&checkDetail={name}", wait_until="domcontentloaded")
    refreshed(page, page.get_by_text("Failed", exact=True))
    page.get_by_text("Show Markdown").first.click()
    picture = page.locator("img[src^='data:image/svg+xml']")
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") > 300, "the browser draws it"
    keep(page, f"window-{name}")
