"""A Dagster UI in a browser: a real web server (and daemon), a real chromium."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
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
READY_S = 600
WAIT_MS = 90_000
OPENING_MS = 15_000

SETTINGS = """\
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  pools:
    default_limit: 1
    granularity: run
"""
"""Without a file Dagster warns; with telemetry it calls home; a greeting would swallow the keys, sooner or later after
the page is there. The pool as `mmplatform up` has it."""


@contextmanager
def dagster_ui(home: Path, environment: dict[str, str], *, daemon: bool):
    """The address of a UI over an instance in ``home``, with the code location of this repository."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text(SETTINGS)
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    workspace = ["-w", str(ROOT / "workspace.yaml"), "--host", "127.0.0.1", "--port", str(port)]
    if daemon:  # as `mmplatform up` starts it
        command = [sys.executable, "-m", "mmplatform.local.services.dagster_processes", *workspace]
    else:
        command = [sys.executable, program("dagster-webserver", fix="pip install -e ."), *workspace]
    with running(
        command,
        log=home / "webserver.log",
        ready=lambda: answers(address),
        within_s=READY_S,
        env=os.environ | environment | {"DAGSTER_HOME": str(home)},
        cwd=ROOT,
    ):
        yield address


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/server_info", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def browser_page(height: int = 760):
    """A page of a new browser. Skips the test where there is none."""
    if not Path(CHROMIUM).exists():
        pytest.skip(f"needs {CHROMIUM} (Debian's package chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        page = browser.new_page(viewport={"width": 1500, "height": height})
        page.set_default_timeout(WAIT_MS)
        yield page
        browser.close()


def open_groups(page, graph):
    """Press Alt+E, which opens or closes all groups, until they are open: it is heard once the graph is drawn."""

    def opened():
        page.keyboard.press("Alt+e")
        with suppress(TooSlow):
            graph.get_by_text(TABLES[0], exact=True).first.wait_for(timeout=OPENING_MS)
            return True

    eventually(opened, within_s=WAIT_MS / 1000)


def refreshed(page, wanted, *, within_s: float = 150):
    """Load the page again until what is wanted is on it."""

    def shown():
        with suppress(TooSlow):
            wanted.first.wait_for(timeout=OPENING_MS)
            return True
        page.reload(wait_until="domcontentloaded")
        return None

    eventually(shown, within_s=within_s)


def keep(page, name: str) -> None:
    """Keep a picture of the page in the folder that MMPLATFORM_TEST_SCREENSHOTS names; without it none is taken."""
    folder = os.environ.get("MMPLATFORM_TEST_SCREENSHOTS")
    if folder:
        page.wait_for_timeout(1_500)  # it glides into place
        page.screenshot(path=Path(folder) / f"{name}.png")
