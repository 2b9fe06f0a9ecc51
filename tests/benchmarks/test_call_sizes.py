"""The bytes of a call on the log: every chunk is an event, and the state counts once a second at most."""

from __future__ import annotations

import pytest

from benchmarks.call_sizes import call_events, fold
from mmplatform.derive.call.state import CallState
from mmplatform.derive.passages import DerivedBatch
from mmplatform.events import CallEnd
from mmplatform.land.blobs.file_store import FileBlobs


class Silent:
    """A deriver that hears nothing."""

    def advance(self, state, _arrival):
        return state or CallState(), DerivedBatch()


@pytest.mark.parametrize(("chunk_s", "chunks"), [(1.0, 90), (0.25, 360)])
def test_the_state_counts_once_a_second_however_short_the_chunks_are(tmp_path, chunk_s, chunks):
    events = list(call_events(FileBlobs(tmp_path), chunk_s, 1))
    assert isinstance(events[-1], CallEnd)
    sizes, seconds = fold(Silent(), iter(events))
    assert seconds == pytest.approx(89.926, abs=0.01)
    assert len(sizes["event"]) == chunks + 1
    assert 89 <= len(sizes["state"]) <= 91
    assert min(sizes["event"]) > 300
