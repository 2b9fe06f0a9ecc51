"""Collections of format 1 are refused, against a real Chroma."""

from __future__ import annotations

import numpy as np
import pytest

from mmplatform.buckets import collection_name
from mmplatform.errors import Misconfigured
from mmplatform.events import utc_now
from mmplatform.land.index.release_check import check_release
from mmplatform.land.index.row_codec import IndexRow
from mmplatform.land.index.store import ChromaIndex
from mmplatform.settings import load
from tests.builders import chat, message, passage, position
from tests.servers.chroma import running_chroma


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with running_chroma(tmp_path_factory.mktemp("chroma")) as found:
        yield found


@pytest.fixture
def index(url):
    opened = ChromaIndex.open(load(chroma_url=url))
    yield opened
    for embedder in opened.embedders():
        opened.drop_embedder(embedder)
    opened.close()


def test_an_empty_server_and_rows_of_today_pass(index):
    check_release(index)
    index.create_collections("double@1")
    check_release(index)
    index.upsert([passage(message(chat(0), position(0)))], utc_now())
    check_release(index)


def test_a_row_without_a_version_is_refused_with_the_cure(index):
    vector = np.ones(8, dtype=np.float32)
    index.upsert_rows("double@1", "b03", [IndexRow("old", "text", {"subject_id": "s"}, vector)])
    with pytest.raises(Misconfigured, match=rf"{collection_name('double@1', 'b03')}.*MMPLATFORM_CHROMA_URL.*migrate"):
        check_release(index)
