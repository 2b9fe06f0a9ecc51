from __future__ import annotations

import json
from datetime import timedelta

import pytest

from mmplatform.derive.passages import DerivedBatch, quarantine
from mmplatform.errors import Busy, Permanent, Rejected, Unavailable
from mmplatform.events import encode
from mmplatform.modalities import CALL, CHAT, SCREENSHOT
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.pipeline.process import parse, process, process_call_record, process_call_records
from mmplatform.pipeline.shedding import SHED_REASONS, parse_shed_header
from quality.contracts import ContractLimits
from tests.builders import NOW, call_end, chat, chunk, message, passage, position, screenshot

LIMITS = ContractLimits()


def record(value, offset: int = 0, topic: str = "interactions.chat") -> ConsumedRecord:
    body = value if isinstance(value, bytes | None) else encode(value)
    return ConsumedRecord(position(offset, topic), body, NOW + timedelta(seconds=2))


class Echo:
    """A deriver that makes a message and a passage of each event, and does what the text says."""

    name = "echo"
    version = "1"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def derive(self, arrivals):
        self.batches.append(len(arrivals))
        artifacts = []
        for each in arrivals:
            _obey(each.event.text)
            source = message(each.event, each.position)
            artifacts += [source, passage(source)]
        return DerivedBatch(artifacts=tuple(artifacts))


def _obey(text: str) -> None:
    errors = {
        "explode": ZeroDivisionError("secret text"),
        "reject": Rejected("no such blob"),
        "away": Unavailable("store"),
        "busy": Busy("later", retry_after=1.0),
        "stop": Permanent("no"),
    }
    if text in errors:
        raise errors[text]


def ids(outcome) -> set[str]:
    return {artifact.provenance.event_ids[0] for artifact in outcome.artifacts}


def test_every_record_ends_somewhere():
    records = [
        record(chat(0), 0),
        record(b"not json", 1),
        record(chat(2, text=" "), 2),
        record(chat(3, text="explode"), 3),
        record(None, 4),
        record(chunk(), 5),
        record(chat(6), 6),
    ]
    outcome = process(records, Echo(), CHAT, LIMITS)
    assert ids(outcome) == {"chat-0", "chat-6"}
    assert [letter.position.offset for letter in outcome.dead_letters] == [1, 4, 5]
    assert sorted(row.event_id for row in outcome.quarantined) == ["chat-2", "chat-3"]


def test_a_poison_event_does_not_hold_up_its_neighbours():
    deriver = Echo()
    records = [record(chat(n, text="explode" if n == 5 else "fine"), n) for n in range(8)]
    outcome = process(records, deriver, CHAT, LIMITS)
    assert len(ids(outcome)) == 7
    [row] = outcome.quarantined
    assert row.event_id == "chat-5"
    assert row.reasons == ("deriver raised ZeroDivisionError",)


def test_a_rejection_keeps_its_reason():
    outcome = process([record(chat(text="reject"))], Echo(), CHAT, LIMITS)
    assert outcome.quarantined[0].reasons == ("no such blob",)


@pytest.mark.parametrize(("text", "error"), [("away", Unavailable), ("busy", Busy), ("stop", Permanent)])
def test_errors_of_the_platform_pass_through(text, error):
    with pytest.raises(error):
        process([record(chat(0)), record(chat(1, text=text), 1)], Echo(), CHAT, LIMITS)


def test_nothing_of_a_refused_event_is_quoted():
    bad = chat(text="\x00 4111 1111 1111 1111 secret")
    outcome = process([record(bad), record(b'{"kind":"chat_message","text":"secret"}', 1)], Echo(), CHAT, LIMITS)
    payload = encode(outcome.quarantined[0]) + encode(outcome.dead_letters[0])
    assert b"secret" not in payload
    assert b"4111" not in payload


NAME = "4111 1111 1111 1111"


@pytest.mark.parametrize(
    "value",
    [
        {"kind": "chat_message", NAME: 1},
        {"kind": NAME},
        {NAME: "chat_message"},
        {"kind": "screenshot", "blob": {NAME: 1}},
        {"kind": "chat_message", "role": NAME, "event_time": NAME, "schema_version": NAME},
        NAME,
    ],
)
def test_a_dead_letter_names_no_field_of_the_senders(value):
    [letter] = process([record(json.dumps(value).encode())], Echo(), CHAT, LIMITS).dead_letters
    assert b"4111" not in encode(letter)
    unknown_kind = isinstance(value, dict) and value.get("kind") == NAME
    unknown_version = isinstance(value, dict) and "schema_version" in value
    assert letter.reason.startswith(
        "an event of an unknown kind or version: " if unknown_kind or unknown_version else "not an event: "
    )


def test_a_field_of_a_newer_release_is_read_and_kept():
    value = encode(screenshot()).replace(b'"sha256"', b'"newer":1,"sha256"')
    [arrival_], dead = parse([record(value, topic=SCREENSHOT.topic)], SCREENSHOT)
    assert dead == []
    assert encode(arrival_.event).count(b'"newer":1') == 1
    [letter] = process([record(value)], Echo(), CHAT, LIMITS).dead_letters
    assert letter.reason == "a screenshot does not belong on interactions.chat"


def test_a_reason_is_cut_to_a_length_that_the_log_takes():
    class Wordy(Echo):
        def derive(self, arrivals):
            raise Rejected("x" * 10_000_000 * len(arrivals))

    [row] = process([record(chat())], Wordy(), CHAT, LIMITS).quarantined
    assert row.reasons == ("x" * 499 + "…",)
    value = ("{" + ",".join(f'"{"y" * 1000}{n}":1' for n in range(50)) + "}").encode()
    [letter] = process([record(value)], Wordy(), CHAT, LIMITS).dead_letters
    assert len(letter.reason) <= 500


def test_the_error_of_a_record_that_we_make_wrongly_quotes_nothing():
    with pytest.raises(ValueError, match="role") as caught:
        chat(role="secret 4111", text="secret 4111")
    assert "4111" not in str(caught.value)


def test_a_passage_that_breaks_its_contract_is_withheld_with_its_source():
    class Leaky(Echo):
        def derive(self, arrivals):
            source = message(arrivals[0].event, arrivals[0].position)
            return DerivedBatch(artifacts=(source, passage(source, text="card 4111 1111 1111 1111")))

    outcome = process([record(chat(0))], Leaky(), CHAT, LIMITS)
    assert outcome.artifacts == ()
    [row] = outcome.quarantined
    assert (row.contract, row.event_id) == ("passages", "chat-0")
    assert row.reasons == ("text: no card number",)


def test_a_withheld_passage_takes_its_siblings_with_it():
    class Long(Echo):
        def derive(self, arrivals):
            source = message(arrivals[0].event, arrivals[0].position)
            good = passage(source)
            bad = good.model_copy(update={"artifact_id": "f" * 32, "text": "mail dana@example.com"})
            other = message(arrivals[1].event, arrivals[1].position)
            return DerivedBatch(artifacts=(source, good, bad, other, passage(other)))

    outcome = process([record(chat(0)), record(chat(1), 1)], Long(), CHAT, LIMITS)
    assert ids(outcome) == {"chat-1"}


@pytest.mark.parametrize(
    "change",
    [
        {"key": "k" * 1025},
        {"media_type": "m" * 101},
        {"size": 2**63},
        {"sha256": "f" * 65},
    ],
)
def test_a_pointer_that_no_store_made_is_a_dead_letter(change):
    value = json.loads(encode(screenshot()))
    value["blob"] |= change
    [letter] = process([record(json.dumps(value).encode())], Echo(), CHAT, LIMITS).dead_letters
    assert next(iter(change)) in letter.reason


@pytest.mark.parametrize(
    "field",
    [
        '"channels":9223372036854775808',
        '"sample_rate":1e30',
        '"chunk_index":1e21',
        '"event_time":"0001-01-01T00:00:00+14:00"',
        f'"speakers":["{"x" * 800_000}"]',
        f'"speakers":{["x"] * 9}'.replace("'", '"'),
        f'"source":"{"x" * 201}"',
    ],
)
def test_a_value_that_no_store_holds_is_a_dead_letter_not_a_crash(field):
    broken = json.dumps(json.loads(encode(chunk())) | json.loads(f"{{{field}}}")).encode()
    outcome = process_call_record(record(broken, topic=CALL.topic), lambda _: pytest.fail("folded"), CALL, LIMITS)
    assert [letter.position.offset for letter in outcome.dead_letters] == [0]


def test_a_replay_decides_as_the_stream_did():
    """An event from the future is judged by the clock of its ingestion, however late the replay comes."""
    early = chat(event_time=NOW + timedelta(minutes=6), ingested_at=NOW)
    outcome = process([record(early)], Echo(), CHAT, LIMITS)
    assert outcome.quarantined[0].reasons == ("event_time: event_time not in the future",)


def test_artifacts_carry_the_time_when_their_event_was_consumed():
    outcome = process([record(chat(0))], Echo(), CHAT, LIMITS)
    assert {a.stamps.taken_at for a in outcome.artifacts} == {NOW + timedelta(seconds=2)}


def test_events_that_the_deriver_quarantines_are_in_the_outcome():
    class Picky(Echo):
        def derive(self, arrivals):
            return DerivedBatch(quarantined=tuple(quarantine(a, contract="blob", reasons=("gone",)) for a in arrivals))

    outcome = process([record(chat(0))], Picky(), CHAT, LIMITS)
    assert [row.contract for row in outcome.quarantined] == ["blob"]


def test_an_empty_batch_is_no_work():
    deriver = Echo()
    assert process([], deriver, CHAT, LIMITS).artifacts == ()
    assert deriver.batches == []


def test_a_call_event_that_breaks_its_contract_never_reaches_the_fold():
    bad = chunk(duration_s=121.0)
    outcome = process_call_record(record(bad, topic=CALL.topic), lambda _: pytest.fail("folded"), CALL, LIMITS)
    assert [row.event_id for row in outcome.quarantined] == ["call-1:0"]


def test_a_fold_that_raises_quarantines_its_event():
    def fold(_):
        raise ValueError

    outcome = process_call_record(record(call_end(), topic=CALL.topic), fold, CALL, LIMITS)
    assert outcome.quarantined[0].reasons == ("deriver raised ValueError",)


def test_records_of_a_call_end_together_as_each_of_them_would_alone():
    """Also where two lie at one place: a log that was created again counts from 0."""
    values = [chunk(0), b"no json", chunk(1, duration_s=121.0), chunk(2), chunk(3, duration_s=121.0), call_end()]
    records = [record(value, offset, CALL.topic) for value, offset in zip(values, (0, 1, 2, 0, 2, 3), strict=True)]
    heard = []

    def fold(arrival):
        heard.append(arrival.event.event_id)
        return DerivedBatch()

    together = list(process_call_records(records, fold, CALL, LIMITS))
    assert heard == ["call-1:0", "call-1:2", "call-1:end"]
    alone = [process_call_record(each, fold, CALL, LIMITS) for each in records]
    assert [ended(outcome) for outcome in together] == [ended(outcome) for outcome in alone]
    assert [ended(outcome) for outcome in together] == [[], ["dead"], ["call-1:1"], [], ["call-1:3"], []]


def ended(outcome):
    return [row.event_id for row in outcome.quarantined] + ["dead" for _ in outcome.dead_letters]


def test_shed_events_are_quarantined_by_name_and_reach_no_deriver():
    mark = parse_shed_header([("event_id", b"x"), ("shed", b"lag,age")])
    shed = ConsumedRecord(position(1), encode(chat(1)), NOW, mark)
    broken = ConsumedRecord(position(2), b"no json", NOW, mark)
    deriver = Echo()
    outcome = process([record(chat(0)), shed, broken], deriver, CHAT, LIMITS)
    assert deriver.batches == [1]
    assert ids(outcome) == {"chat-0"}
    [row] = outcome.quarantined
    assert (row.event_id, row.contract, row.position) == ("chat-1", "shed", position(1))
    assert row.reasons == (SHED_REASONS[b"lag"], SHED_REASONS[b"age"])
    assert [letter.position.offset for letter in outcome.dead_letters] == [2]


def test_a_foreign_code_in_the_shed_header_is_not_repeated():
    assert parse_shed_header(None) == parse_shed_header([("kind", b"chat_message")]) == ()
    assert (
        parse_shed_header([("shed", b"a customer's words")])
        == parse_shed_header({"shed": "\x00"})
        == (SHED_REASONS[b""],)
    )
