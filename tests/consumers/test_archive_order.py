from __future__ import annotations

import pytest

from mmplatform.artifacts import ArtifactBase, Retraction
from mmplatform.consumers.archiver import check_same_log, sort_by_table
from mmplatform.errors import Permanent
from mmplatform.events import encode, utc_now
from mmplatform.ingest.replay_log import Watermarks
from mmplatform.modalities import ARTIFACTS_TOPIC
from mmplatform.pipeline.process import ConsumedRecord
from mmplatform.settings import load
from tests.builders import chat, message, position

MADE = message(chat(0), position())
TAKEN_BACK = Retraction(
    **{name: getattr(MADE, name) for name in ArtifactBase.model_fields if name != "schema_version"}, reason="test"
)


def batch(*artifacts):
    places = (position(n).model_copy(update={"topic": ARTIFACTS_TOPIC}) for n in range(len(artifacts)))
    return sort_by_table(
        [
            ConsumedRecord(position=place, value=encode(made), taken_at=utc_now())
            for place, made in zip(places, artifacts, strict=True)
        ]
    )


def test_what_was_taken_back_last_goes():
    assert batch(MADE, TAKEN_BACK).gone["messages"] == [MADE.artifact_id]


def test_what_was_taken_back_and_made_again_in_one_batch_stays():
    found = batch(MADE, TAKEN_BACK, MADE)
    assert found.gone["messages"] == []
    assert [place.offset for place, _ in found.rows["messages"]] == [0, 2]


class Marks:
    """A log that ends here."""

    def __init__(self, high: int) -> None:
        self._high = high

    def watermarks(self, topics):
        return {topic: {0: Watermarks(0, self._high)} for topic in topics}


class Landed:
    """A lakehouse that holds the log up to offset 10."""

    def landed_offsets(self, table, source):
        assert source == "archive"
        return {("artifacts", 0): 10} if table == "messages" else {}


def test_the_log_that_it_was_filled_from_is_taken():
    check_same_log(Landed(), Marks(10), load())


def test_another_log_is_refused_before_anything_is_left_out():
    with pytest.raises(Permanent, match=r"messages holds artifacts\[0\] up to offset 10, but the log ends at 3"):
        check_same_log(Landed(), Marks(3), load())
