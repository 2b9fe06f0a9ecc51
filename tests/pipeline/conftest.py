"""Real stores of a test's own, and the real models of chats, loaded once."""

import pytest

from mmplatform.land.index.embedder_registry import EmbedderRegistry
from mmplatform.land.index.store import ChromaIndex
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.pipeline.factories import open_dual_write_index, open_embedder, open_redactor
from mmplatform.settings import load
from tests.servers.chroma import running_chroma


@pytest.fixture(scope="module")
def embedder():
    return open_embedder(load())


@pytest.fixture(scope="module")
def redactor():
    return open_redactor(load())


@pytest.fixture(scope="module")
def chroma(tmp_path_factory):
    with running_chroma(tmp_path_factory.mktemp("chroma")) as address:
        yield address


@pytest.fixture
def settings(tmp_path, chroma):
    return load(data_dir=tmp_path / "data", chroma_url=chroma)


@pytest.fixture
def lakehouse(settings):
    opened = Lakehouse.open(settings)
    opened.ensure_tables()
    return opened


@pytest.fixture
def index(settings):
    opened = ChromaIndex.open(settings)
    yield opened
    for each in opened.list_collections():
        opened.client().delete_collection(each.name)
    opened.close()


@pytest.fixture
def dual_write_index(settings, index):
    return open_dual_write_index(settings, index, EmbedderRegistry(index))
