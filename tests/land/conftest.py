"""Tables of a test's own, in files."""

import pytest

from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.settings import load


@pytest.fixture
def settings(tmp_path):
    return load(data_dir=tmp_path)


@pytest.fixture
def lakehouse(settings):
    opened = Lakehouse.open(settings)
    opened.ensure_tables()
    return opened
