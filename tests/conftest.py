"""Shared by all tests: an environment without the developer's settings, and skips that fail in CI."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

# A shared machine is slow at times; that is no failure of the code under test.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

# A wait's failure shows the last value only where pytest rewrites the assertion.
pytest.register_assert_rewrite("tests.waiting")

# A shell has what it starts in the background ignore SIGINT. Dagster does with SIGTERM as with SIGINT, also in the
# process of the tests. The servers and workers that they start would inherit it, and none of them would end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

REQUIRE = "MMPLATFORM_REQUIRE_SYSTEM_PACKAGES"
ALLOWED_PREFIXES = ("MMPLATFORM_TEST_", "MMPLATFORM_MODELS_DIR", REQUIRE)

TOGETHER = ("integration", "faults", "operations", "browser", "behaviours", "assets")
"""Folders whose tests share servers, the slowest first: each runs in one process, and the longest start first."""


def pytest_collection_modifyitems(items):
    """Start the longest tests first."""
    items.sort(key=lambda item: _turn(_together(item.nodeid)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Scopes that `make test` may run in parallel.

    The groups of pytest-xdist 3.8 need node ids that can be written, and pytest 9.2 has none.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return _together(nodeid)

    return Together(config, log)


_crashed: set[str] = set()


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem, report):
    """Report a native library that kills its process (by an assertion, for example), and run the test once more.

    The closing line counts it as `crashed`, and `make test` ends with the process's output. The second crash of a
    session is a failure.
    """
    if not _crashed:
        report.outcome = "crashed"
    _crashed.add(crashitem)


def _together(nodeid: str) -> str:
    """A folder whose tests share servers, or else a module."""
    module = nodeid.partition("::")[0]
    folder = module.removeprefix("tests/").partition("/")[0]
    return folder if folder in TOGETHER else module


def _turn(scope: str) -> int:
    return TOGETHER.index(scope) if scope in TOGETHER else len(TOGETHER)


@pytest.fixture(scope="session", autouse=True)
def _own_environment(tmp_path_factory):
    """No test reads or writes the data of a stack that the developer runs."""
    before = dict(os.environ)
    for name in [
        name for name in os.environ if name.startswith("MMPLATFORM_") and not name.startswith(ALLOWED_PREFIXES)
    ]:
        del os.environ[name]
    os.environ["MMPLATFORM_DATA_DIR"] = str(tmp_path_factory.mktemp("data"))
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Fail a test that skips for a missing system package where all are required (CI)."""
    report = yield
    if report.skipped and os.environ.get(REQUIRE) and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if "is not installed" in reason or "needs " in reason:
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid}: {reason} ({REQUIRE} is set)"
    del call
    return report
