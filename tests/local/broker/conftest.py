from __future__ import annotations

import pytest

from tests.local.broker.clients import Clients
from tests.local.broker.running import BrokerProcess


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    running = BrokerProcess(tmp_path_factory.mktemp("broker"))
    yield running
    running.end()


@pytest.fixture
def broker(shared):
    """A running broker that the test may end and start again; its events are those of this test."""
    if not shared.is_running:
        shared.start()
    shared.forget_events()
    return shared


@pytest.fixture
def kafka(broker):
    return Clients(broker.address)
