"""One canary over doors of the test: its outcome, its gap, and the claims that a second question confirms."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from mmplatform.errors import Busy, Unavailable
from mmplatform.events import Position
from mmplatform.ingest.schemas import Accepted
from mmplatform.pipeline.canary import probe as module
from mmplatform.pipeline.canary.claims import CanaryAnswer
from mmplatform.pipeline.canary.probe import CanaryProbe, FalseReceipt, new_canary

APPENDED = datetime(2026, 3, 1, 12, tzinfo=UTC)
POSITION = Position(topic="interactions.chat", topic_partition=3, offset=7)


class Doors:
    """Answers of the search in turn; the last one for ever. ``accepted``: an error is raised."""

    def __init__(self, *answers, accepted=None):
        self.answers = list(answers)
        self.accepted = accepted or Accepted(event_id="e", position=POSITION, duplicate=False, token="t")
        self.canary = None

    def send(self, canary):
        self.canary = canary
        if isinstance(self.accepted, Exception):
            raise self.accepted
        return self.accepted

    def search(self, canary, token, max_wait_s):
        assert (canary, token) == (self.canary, "t")
        assert max_wait_s >= 0
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer(canary) if callable(answer) else answer


def found(canary):
    return CanaryAnswer.model_validate({"hits": [{"event_ids": list(canary.event_ids)}], "fence": {"reached": True}})


def lacking(*, reached=False, complete_until=None, refused=0):
    return CanaryAnswer.model_validate(
        {
            "hits": [],
            "fence": {"reached": reached},
            "receipt": {
                "modalities": [{"modality": "chat", "complete_until": complete_until}],
                "subject": {"refused": {"identity": refused} if refused else {}, "open_calls": []},
            },
        }
    )


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "_RETRY_S", 0.01)
    monkeypatch.setattr(module, "_CONFIRM_S", 0.01)
    monkeypatch.setattr(module, "_LATE_S", 0.1)


def run(doors, *, appended_at=APPENDED, stopped=None, timeout_s=0.3, false_receipts=None):
    reported = [] if false_receipts is None else false_receipts
    probe = CanaryProbe(
        doors, lambda _: appended_at, on_false_receipt=reported.append, stopped=stopped, timeout_s=timeout_s
    )
    return probe.run(new_canary("chat", "conversation", lambda nonce: (f"canary-{nonce}",)))


def test_a_canary_that_is_found_has_a_gap_and_its_topic_partition():
    report = run(Doors(None, lacking(), found))
    assert (report.outcome, report.topic_partition, report.claims) == ("found", 3, frozenset())
    assert 0 < report.gap_s < 0.3


def test_a_canary_that_no_receipt_claims_and_no_search_finds_is_missing():
    report = run(Doors(lacking()))
    assert (report.outcome, report.gap_s, report.claims) == ("missing", None, frozenset())


def test_an_answer_that_claims_it_too_early_is_false_also_when_the_next_one_has_it():
    report = run(Doors(lacking(reached=True), found))
    assert (report.outcome, report.claims) == ("found", {"fence"})
    later = APPENDED + timedelta(seconds=1)
    assert run(Doors(lacking(complete_until=later), found)).claims == {"complete_until"}
    assert run(Doors(lacking(complete_until=APPENDED), found)).claims == frozenset()


def test_a_refusal_that_shows_a_moment_later_is_no_false_claim():
    report = run(Doors(lacking(reached=True), lacking(reached=True, refused=1)))
    assert (report.outcome, report.claims) == ("refused", frozenset())


def test_a_search_that_does_not_answer_confirms_nothing_and_the_canary_is_searched_on():
    report = run(Doors(lacking(reached=True), None, None, found))
    assert (report.outcome, report.claims) == ("found", {"fence"})


@pytest.mark.timeout(10)
def test_a_search_that_goes_away_ends_the_canary_and_its_claim_stands():
    false_receipts = []
    report = run(Doors(lacking(reached=True), None), false_receipts=false_receipts)
    assert (report.outcome, report.claims) == ("missing", {"fence"})
    assert false_receipts == [FalseReceipt("chat", frozenset({"fence"}), is_first=True)]


def test_a_false_receipt_is_reported_at_once_and_stays_so_when_the_probe_is_stopped():
    stopped, false_receipts = threading.Event(), []

    def stop_then_lack(_):
        stopped.set()
        return lacking(reached=True)

    assert run(Doors(lacking(reached=True), stop_then_lack), stopped=stopped, false_receipts=false_receipts) is None
    assert [(found.modality, found.claims) for found in false_receipts] == [("chat", {"fence"})]


def test_each_claim_is_reported_once_and_the_first_is_marked():
    both = lacking(reached=True, complete_until=APPENDED + timedelta(seconds=1))
    false_receipts = []
    run(Doors(lacking(reached=True), lacking(reached=True), both, both, found), false_receipts=false_receipts)
    assert [(one.claims, one.is_first) for one in false_receipts] == [({"fence"}, True), ({"complete_until"}, False)]


@pytest.mark.parametrize(
    ("accepted", "outcome"),
    [
        (Busy("later", retry_after=1.0), "throttled"),
        (Unavailable("away"), "not_accepted"),
        (Accepted(event_id="e", position=POSITION, duplicate=False, shed=True), "shed"),
    ],
)
def test_one_that_is_not_taken_in_is_searched_for_by_nobody(accepted, outcome):
    doors = Doors(None, accepted=accepted)
    assert run(doors).outcome == outcome
    assert doors.answers == [None]


def test_a_probe_that_is_stopped_reports_nothing():
    stopped = threading.Event()
    stopped.set()
    assert run(Doors(None), stopped=stopped) is None


def test_each_canary_has_a_subject_of_its_own_that_begins_with_the_day():
    one, two = (new_canary("chat", "c", lambda nonce: (nonce,)) for _ in range(2))
    assert one.subject_id != two.subject_id
    assert datetime.strptime(one.subject_id[:8], "%Y%m%d").replace(tzinfo=UTC).year >= 2026
