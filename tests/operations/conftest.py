"""One stack for all tests of this folder: what happens to it is part of what is tested."""

from __future__ import annotations

import pytest

from tests.integration.conftest import running_stack


@pytest.fixture(scope="package")
def stack(tmp_path_factory):
    """Chats alone: of the three models theirs are the quickest to open. Logs as JSON."""
    arguments = ("--no-dagster", "--derivers", "call=0,screenshot=0")
    folder = tmp_path_factory.mktemp("operations")
    with running_stack(folder, arguments=arguments, MMPLATFORM_LOG_FORMAT="json") as running:
        yield running
