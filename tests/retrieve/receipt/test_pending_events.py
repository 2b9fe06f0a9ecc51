"""Pending events are known by subject until they are derived; what is not known is never called clear."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mmplatform.progress import EventSource
from mmplatform.retrieve.receipt.derivation_progress import Derived
from mmplatform.retrieve.receipt.pending_events import LoggedEvent, PendingEvents
from mmplatform.retrieve.receipt.refusals_by_subject import RefusalsBySubject

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CHAT = EventSource("interactions.chat", 0)
CALL = EventSource("interactions.call", 0)


def at(seconds):
    return NOON + timedelta(seconds=seconds)


def pending(*events, source=CHAT, **options):
    found = PendingEvents(**options)
    found.begin(source, (0, 0))
    for offset, (subject, seconds) in enumerate(events):
        found.add(source, LoggedEvent((0, offset), subject, at(seconds)))
    found.reach_end(source)
    return found


def of(found, subject, *sources):
    return found.of_subject(subject, [source.topic for source in sources or (CHAT,)])


def derive(events, next_offset, source=CHAT, generation=0):
    events.drop_derived({source: Derived((generation, next_offset), None, (), 0)})


def test_events_wait_by_subject_until_they_are_derived():
    found = pending(("ann", 1), ("bob", 2), ("ann", 3))
    assert of(found, "ann") == (2, at(1))
    assert found.in_all(CHAT.topic) == (3, at(1))
    derive(found, 1)
    assert of(found, "ann") == (1, at(3))
    assert of(found, "bob") == (1, at(2))
    derive(found, 3)
    assert of(found, "ann") == (0, None)
    assert found.in_all(CHAT.topic) == (0, None)


def test_progress_that_goes_back_or_comes_first_changes_nothing():
    found = pending(("ann", 1))
    derive(found, 5)
    derive(found, 0)
    found.add(CHAT, LoggedEvent((0, 4), "ann", at(2)))
    assert of(found, "ann") == (0, None)
    found.add(CHAT, LoggedEvent((0, 5), "ann", at(3)))
    assert of(found, "ann") == (1, at(3))


def test_a_repetition_is_counted_once():
    found = pending(("ann", 1))
    found.add(CHAT, LoggedEvent((0, 0), "ann", at(1)))
    assert of(found, "ann") == (1, at(1))


def test_the_topics_are_kept_apart():
    found = pending(("ann", 1))
    found.begin(CALL, (0, 0))
    found.reach_end(CALL)
    found.add(CALL, LoggedEvent((0, 0), "ann", at(5)))
    assert of(found, "ann", CALL) == (1, at(5))
    assert found.in_all(CALL.topic) == (1, at(5))
    assert set(found.sources([CHAT.topic, CALL.topic])) == {CHAT, CALL}


def test_a_source_is_clear_once_it_is_read_beyond_the_time_and_nothing_of_the_subject_waits():
    found = pending(("ann", 1))
    assert not found.is_clear(CHAT, "bob", at(1))  # another event of the same millisecond may follow
    found.add(CHAT, LoggedEvent((0, 1), "cid", at(4)))
    assert found.is_clear(CHAT, "bob", at(3))
    assert not found.is_clear(CHAT, "ann", at(3))
    derive(found, 1)
    assert found.is_clear(CHAT, "ann", at(3))
    assert not found.is_clear(CALL, "ann", at(3))


def test_beyond_its_bound_events_are_counted_and_no_source_is_clear():
    found = pending(("ann", 1), ("bob", 2), ("cid", 3), ("dan", 9), max_events=2)
    assert found.in_all(CHAT.topic) == (4, at(1))
    assert not found.is_clear(CHAT, "eve", at(2))
    derive(found, 2)
    assert not found.is_clear(CHAT, "eve", at(2))
    derive(found, 4)
    assert found.in_all(CHAT.topic) == (0, None)
    assert found.is_clear(CHAT, "eve", at(2))


def test_a_later_generation_of_the_log_follows_whatever_its_offset():
    found = pending(("ann", 1), ("ann", 2))
    found.add(CHAT, LoggedEvent((1, 0), "ann", at(3)))
    assert of(found, "ann") == (3, at(1))
    derive(found, 1, generation=1)
    assert of(found, "ann") == (0, None)


def test_an_event_without_a_generation_in_a_later_log_waits_too():
    found = PendingEvents()
    found.begin(CHAT, (1, 5))
    found.reach_end(CHAT)
    found.add(CHAT, LoggedEvent((0, 5), "ann", at(1)))
    assert of(found, "ann") == (1, at(1))


def test_a_source_that_begins_again_keeps_nothing_of_before():
    found = pending(("ann", 1), ("ann", 2), max_events=2)
    found.begin(CHAT, (0, 2))
    found.reach_end(CHAT)
    assert of(found, "ann") == (0, None)
    found.add(CHAT, LoggedEvent((0, 2), "ann", at(3)))
    assert of(found, "ann") == (1, at(3))
    derive(found, 3)
    assert of(found, "ann") == (0, None)


def test_no_number_is_given_before_the_end_is_reached_and_while_nothing_is_read():
    found = PendingEvents()
    assert of(found, "ann") == (None, None)
    assert found.in_all(CHAT.topic) == (None, None)
    found.begin(CHAT, (0, 0))
    found.add(CHAT, LoggedEvent((0, 0), "ann", at(1)))
    assert of(found, "ann") == (None, at(1))
    found.reach_end(CHAT)
    assert of(found, "ann") == (1, at(1))
    found.lose_touch()
    assert of(found, "ann") == (None, at(1))
    assert found.in_all(CHAT.topic) == (None, at(1))


def test_beyond_its_bound_no_number_of_a_subject_is_given():
    found = pending(("ann", 1), ("bob", 2), max_events=1)
    assert of(found, "bob") == (None, None)
    derive(found, 2)
    assert of(found, "bob") == (0, None)


def test_what_was_refused_is_counted_by_contract_until_a_run_releases_it():
    found = PendingEvents()
    found.refuse("ann", "c/1", "identity", at(1))
    found.refuse("ann", "c/1", "identity", at(1))
    found.refuse("ann", "c/2", "shed", at(2))
    assert found.refused_of("ann") == {"identity": 1, "shed": 1}
    found.release("ann", "c/2")
    found.release("bob", "c/2")
    assert found.refused_of("ann") == {"identity": 1}
    assert found.refused_of("bob") == {}


def test_refusals_are_forgotten_after_a_day_and_beyond_their_bound():
    found = RefusalsBySubject(max_refusals=3)
    for number in range(3):
        found.add("ann", str(number), "shed", at(number))
    found.add("bob", "x", "shed", at(4))
    assert found.count("ann") == {"shed": 2}
    found.add("bob", "y", "shed", at(86_402))
    assert found.count("ann") == {"shed": 1}
    assert found.count("bob") == {"shed": 2}


def test_a_canary_is_in_no_total_and_known_by_its_own_subject():
    found = pending(("ann", 1))
    found.add(CHAT, LoggedEvent((0, 1), "canary", at(2), is_canary=True))
    found.add(CHAT, LoggedEvent((0, 2), "bob", at(3)))
    assert found.in_all(CHAT.topic) == (2, at(1))
    assert of(found, "canary") == (1, at(2))
    derive(found, 1)
    assert found.in_all(CHAT.topic) == (1, at(3))
    derive(found, 2)
    assert found.in_all(CHAT.topic) == (1, at(3))
    derive(found, 3)
    assert found.in_all(CHAT.topic) == (0, None)


def test_canaries_alone_are_no_pending_events():
    found = pending()
    for offset in range(3):
        found.add(CHAT, LoggedEvent((0, offset), f"canary-{offset}", at(offset), is_canary=True))
    assert found.in_all(CHAT.topic) == (0, None)
