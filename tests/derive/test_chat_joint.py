"""Values that are spread over messages: what a later message gives away leaves the earlier one too."""

from __future__ import annotations

import copy
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmplatform.artifacts import Message, Passage
from mmplatform.derive import chat_memory
from mmplatform.derive.chat import ChatDeriver
from mmplatform.derive.chat_fold import ChatFold
from mmplatform.derive.chat_joint import MAX_PAUSE
from mmplatform.derive.chat_memory import MAX_RECENT, RETENTION, ChatMemory
from mmplatform.derive.chat_stretches import MAX_CHARS_READ, MAX_END_CHARS, MAX_READINGS
from mmplatform.derive.pii.edges import find_edges, may_continue
from mmplatform.derive.pii.replacement import Replacements
from mmplatform.memo import MemoryMemo
from tests.builders import NOW, chat
from tests.derive.test_chat import CountingEmbedder
from tests.derive.test_chat_fold import Conversations, change, rows

pytestmark = pytest.mark.models
CARD = "4111111111111111"


def said(number, text, *, seconds=None, **fields):
    """A message ten seconds after the one before."""
    at = NOW + timedelta(seconds=10 * number if seconds is None else seconds)
    return chat(number, **{"text": text, "event_time": at, "ingested_at": at} | fields)


def stream_of(redactor, **deriver):
    return Conversations(ChatDeriver(CountingEmbedder(), redactor, MemoryMemo(), **deriver))


def in_turn(redactor, *texts):
    """The texts of one customer after all came, each answered by the agent."""
    stream = stream_of(redactor)
    for number, text in enumerate(texts):
        answer = said(1000 + number, "thank you, go on", seconds=10 * number + 1, role="agent")
        stream.send(said(number, text), answer)
    assert [stream.found.get(f"chat-{number}") for number in range(len(texts))] == [
        stream.texts[f"chat-{number}"].strip() for number in range(len(texts))
    ]
    return [stream.texts[f"chat-{number}"] for number in range(len(texts))]


SPREAD = {
    "card": (["my card is 4111 1111", "1111 1111"], ["my card is [CARD]", "[CARD]"]),
    "card in groups": (["4111", "1111", "1111", "1111"], ["[CARD]"] * 4),
    "card digit by digit": (list(CARD), ["[CARD]"] * 16),
    "card dictated": (["four", *["one"] * 15], ["[CARD]"] * 16),
    "card dictated in German": (["vier" + 7 * " eins", "eins" + 7 * " eins"], ["[CARD]"] * 2),
    "card after its label": (
        ["my card number is", "4111", "1111", "1111", "1111", "exp 12/27", "123"],
        ["my card number is", *["[CARD]"] * 4, "exp [CARD_EXPIRY]", "[CVV]"],
    ),
    "phone": (["call me on 212-555", "0147"], ["call me on [PHONE]", "[PHONE]"]),
    "phone after its label": (["my phone", "020 7946 0958"], ["my phone", "[PHONE]"]),
    "e-mail before the sign": (["mail me: dw42@", "example.com"], ["mail me: [EMAIL]", "[EMAIL]"]),
    "e-mail from the sign on": (["mail me: dw42", "@example.com"], ["mail me: [EMAIL]", "[EMAIL]"]),
    "e-mail before its end": (["mail me: dw42@example", ".com"], ["mail me: [EMAIL]", "[EMAIL]"]),
    "e-mail dictated": (["d w four two dot x", "at example dot com"], None),
    "IBAN": (["GB29 NWBK", "6016 1331", "9268 19"], ["[IBAN]"] * 3),
    "one-time code": (["my code is", "482913"], ["my code is", "[ONE_TIME_CODE]"]),
    "one-time code before its label": (["482913", "is the code I got"], ["[ONE_TIME_CODE]", "is the code I got"]),
    "one-time code in halves": (
        ["the code is 482", "913"],
        ["the code is [ONE_TIME_CODE]", "[ONE_TIME_CODE]"],
    ),
    "PIN": (["my pin is", "4471"], ["my pin is", "[PIN]"]),
    "SSN": (["SSN 536-22", "-8841"], ["SSN [SSN]", "[SSN]"]),
    "PIN after a lead": (["my pin", "it's 4471"], ["my pin", "it's [PIN]"]),
    "PIN in a sentence": (
        ["my pin is", "4471 thank you so much for your help"],
        ["my pin is", "[PIN] thank you so much for your help"],
    ),
    "code after a lead": (["my code is", "it's 482913"], ["my code is", "it's [ONE_TIME_CODE]"]),
    "blanks at the ends": ([f"my card is 4111 1111{' ' * 300}", "\u200b" * 100 + "1111 1111"], None),
}


@pytest.mark.parametrize(("texts", "redacted"), SPREAD.values(), ids=SPREAD)
def test_a_value_that_is_spread_over_messages_leaves_each_of_them(redactor, texts, redacted):
    found = in_turn(redactor, *texts)
    if redacted is None:
        assert not any(part in text for text in found for part in ("example", "1111"))
    else:
        assert found == redacted


@pytest.mark.parametrize(
    "texts",
    [
        ["I ordered 2 chargers on May 5", "2 items are missing"],
        ["order LF-482193", "came on 2026-03-05"],
        ["it costs 49.90", "14 days ago it was 39.90"],
        ["my order is 4821", "9312"],
        ["version 120.0", "6099 is installed"],
        ["1", "2", "3", "4", "5"],
        ["yes", "2", "please"],
        ["200", "500", "1200"],
        ["2 boxes of 200", "500", "1200"],
        ["0.5 1.5 2.5", "3.5 4.5"],
        ["I ordered at", "amazon.com"],
        ["the site is down at", "shop.example.com"],
        ["my pin is broken", "2024 model"],
        ["Hi", "@support please help"],
        ["the price is 20", "@home"],
    ],
    ids=lambda texts: texts[0],
)
def test_facts_in_neighbouring_messages_stay(redactor, texts):
    assert in_turn(redactor, *texts) == texts


FIRST, SECOND = "my card is 4111 1111", "1111 1111"


@pytest.mark.parametrize(
    "second",
    [
        said(1, SECOND, role="agent"),
        said(1, SECOND, subject_id="cust-2"),
        said(1, SECOND, conversation_id="conv-2"),
        said(1, SECOND, seconds=MAX_PAUSE.total_seconds() + 1),
    ],
    ids=["another speaker", "another subject", "another conversation", "after a long pause"],
)
def test_messages_that_are_no_neighbours_are_not_read_together(redactor, second):
    alone = stream_of(redactor).send(said(0, FIRST)).texts["chat-0"]
    assert stream_of(redactor).send(said(0, FIRST), second).texts == {"chat-0": alone, "chat-1": SECOND}


def test_an_earlier_part_that_comes_late_is_read_with_the_later_one(redactor):
    stream = stream_of(redactor).send(said(1, SECOND)).send(said(2, "hello?")).send(said(0, FIRST))
    assert stream.texts == {"chat-0": "my card is [CARD]", "chat-1": "[CARD]", "chat-2": "hello?"}


@pytest.mark.parametrize("late", [3, 8, 15])
def test_a_digit_that_comes_late_is_read_in_its_place(redactor, late):
    digits = ["my card number is", "four", *["one"] * 15]
    numbers = [number for number in range(17) if number != late]
    stream = stream_of(redactor).send(*(said(number, digits[number]) for number in numbers))
    stream.send(said(late, digits[late]))
    assert [stream.texts[f"chat-{number}"] for number in range(17)] == ["my card number is", *["[CARD]"] * 16]


def test_a_long_message_in_between_ends_a_value_and_not_the_reading(redactor):
    long = "1111 is the end of it. " + "I have waited for a very long time. " * 60
    stream = stream_of(redactor).send(*(said(number, "4111" if number == 0 else "1111") for number in range(3)))
    stream.send(said(4, "20")).send(said(3, long))
    assert [stream.texts[f"chat-{number}"] for number in range(3)] == ["[CARD]"] * 3
    assert stream.texts["chat-3"].startswith("[CARD] is the end of it.")
    assert stream.texts["chat-4"] == "20"


def test_messages_of_one_second_keep_the_order_in_which_they_came(redactor):
    stream = stream_of(redactor).send(said(0, "hello", seconds=0), said(1, SECOND, seconds=0))
    stream.send(change("edit", "e1", text=FIRST))
    assert stream.texts == {"chat-0": "my card is [CARD]", "chat-1": "[CARD]"}


def test_a_late_message_between_does_not_hide_the_one_before(redactor):
    stream = stream_of(redactor).send(said(2, "482913"), said(0, "hello"), said(3, "is the code I got"))
    assert stream.texts["chat-2"] == "[ONE_TIME_CODE]"


@pytest.mark.parametrize("forgotten_by", ["silence", "number"])
def test_what_was_given_away_is_never_forgotten(redactor, monkeypatch, forgotten_by):
    monkeypatch.setattr(chat_memory, "MAX_MESSAGES", 64)
    stream = stream_of(redactor).send(said(0, FIRST), said(1, SECOND))
    late = NOW + RETENTION + timedelta(days=1)
    if forgotten_by == "silence":
        stream.send(said(9, "hello again", seconds=(late - NOW).total_seconds()))
    else:
        stream.send(*(said(number, f"and so on, number {number}") for number in range(2, 90)))
    stream.send(said(0, FIRST, ingested_at=late)).send(said(1, SECOND, ingested_at=late))
    assert (stream.texts["chat-0"], stream.texts["chat-1"]) == ("my card is [CARD]", "[CARD]")


class Failing(CountingEmbedder):
    """Fails on texts with one word."""

    def __init__(self, word):
        super().__init__()
        self.word = word

    def embed(self, texts):
        if any(self.word in text for text in texts):
            raise ValueError(self.word)
        return super().embed(texts)


def test_a_message_that_cannot_be_derived_gives_the_one_before_away_all_the_same(redactor):
    stream = Conversations(ChatDeriver(Failing("kaput"), redactor, MemoryMemo())).send(said(0, FIRST))
    stream.send(said(1, "1111 1111 kaput"))
    assert stream.texts == {"chat-0": "my card is [CARD]"}
    [row] = stream.quarantine.values()
    assert (row.event_id, row.reasons) == ("chat-1", ("deriver raised ValueError",))


def test_a_message_whose_redacted_text_cannot_be_derived_leaves_and_the_later_one_lands(redactor):
    stream = Conversations(ChatDeriver(Failing("[CARD] is"), redactor, MemoryMemo()))
    stream.send(said(0, "4111 1111")).send(said(1, "1111 1111 is my card"))
    assert stream.texts == {"chat-0": "[CARD]"}
    stream = Conversations(ChatDeriver(Failing("is [CARD]"), redactor, MemoryMemo()))
    stream.send(said(0, FIRST)).send(said(1, SECOND))
    assert stream.texts == {"chat-1": "[CARD]"}
    [row] = stream.quarantine.values()
    assert (row.event_id, row.reasons) == ("chat-0", ("deriver raised ValueError",))


def test_a_message_that_was_given_away_names_the_later_one_and_is_newer(redactor):
    stream = stream_of(redactor).send(said(0, FIRST)).send(said(1, SECOND))
    earlier, later = (
        next(found for found in stream.artifacts.values() if isinstance(found, Message) and found.event_uids[0] == uid)
        for uid in (said(0, FIRST).uid, said(1, SECOND).uid)
    )
    assert earlier.provenance.event_ids == ("chat-0", "chat-1")
    assert later.provenance.event_ids == ("chat-1",)
    assert earlier.provenance.position == later.provenance.position
    assert earlier.stamps.event_time == NOW
    assert [count.entity for count in earlier.pii] == ["CARD"]


def test_a_repetition_of_either_part_stays_redacted_without_its_neighbour(redactor):
    stream = stream_of(redactor).send(said(0, FIRST), said(1, SECOND))
    stream.send(*(said(number, f"and so on, number {number}") for number in range(2, MAX_RECENT + 3)))
    stream.log[0:2] = [None, None]  # neither is on the log any more
    stream.send(said(0, FIRST)).send(said(1, SECOND))
    assert (stream.texts["chat-0"], stream.texts["chat-1"]) == ("my card is [CARD]", "[CARD]")


def test_a_neighbour_that_is_no_longer_on_the_log_is_left_out(redactor):
    stream = stream_of(redactor).send(said(0, FIRST))
    stream.log[0] = None
    stream.send(said(1, SECOND))
    assert stream.texts["chat-1"] == SECOND


def test_an_edit_completes_a_value_and_what_was_found_is_not_taken_back(redactor):
    stream = stream_of(redactor).send(said(0, "hello"), said(1, SECOND))
    assert stream.texts == {"chat-0": "hello", "chat-1": SECOND}
    stream.send(change("edit", "e1", text=FIRST))
    assert stream.texts == {"chat-0": "my card is [CARD]", "chat-1": "[CARD]"}
    stream.send(change("edit", "e2", text="never mind"))
    assert stream.texts == {"chat-0": "never mind", "chat-1": "[CARD]"}


def test_an_edited_message_that_is_given_away_later_names_both(redactor):
    stream = stream_of(redactor).send(said(0, "hello"), change("edit", "e1", text=FIRST)).send(said(1, SECOND))
    assert stream.texts == {"chat-0": "my card is [CARD]", "chat-1": "[CARD]"}
    [earlier] = [
        found
        for found in stream.artifacts.values()
        if isinstance(found, Passage) and found.provenance.event_ids[0] == "chat-0"
    ]
    assert earlier.provenance.event_ids == ("chat-0", "e1", "chat-1")
    assert earlier.text == "my card is [CARD]"


def test_a_deleted_message_is_no_neighbour(redactor):
    stream = stream_of(redactor).send(said(0, FIRST), change("delete", "d1")).send(said(1, SECOND))
    assert stream.texts == {"chat-1": SECOND}


def test_a_part_of_a_value_never_shows_its_last_four(redactor):
    stream = stream_of(redactor, replacements=Replacements({"CARD": "last_four", "PHONE": "last_four"}))
    stream.send(said(0, "4111 1111 1111"), said(1, "1111"), said(2, f"my other card is {CARD}"))
    assert (stream.texts["chat-0"], stream.texts["chat-1"]) == ("[CARD]", "[CARD]")
    assert stream.texts["chat-2"] == "my other card is [CARD …1111]"


def test_a_flood_of_digits_costs_a_bound(redactor):
    class Counting:
        name, version, chars, calls = "counting", "1", 0, 0

        def redact(self, texts, *, spoken=False):
            Counting.chars += sum(map(len, texts))
            Counting.calls += len(texts)
            return redactor.redact(texts, spoken=spoken)

    stream = stream_of(Counting())
    stream.send(*(said(number, "12 34 56 78 90 " * 4, seconds=number) for number in range(60)))
    before, Counting.calls = Counting.chars, 0
    stream.send(said(60, "7" * 55, seconds=60))
    assert Counting.calls <= MAX_READINGS + 1
    assert Counting.chars - before <= MAX_CHARS_READ + 55


def test_only_the_near_end_of_a_long_message_is_read_again(redactor):
    read = []

    class Watching:
        name, version = "watching", "1"

        def redact(self, texts, *, spoken=False):
            read.extend(texts)
            return redactor.redact(texts, spoken=spoken)

    long = "I have waited for a very long time. " * 40
    stream = stream_of(Watching()).send(said(0, long + FIRST)).send(said(1, SECOND))
    assert stream.texts["chat-0"].endswith("my card is [CARD]")
    assert len(stream.texts["chat-0"]) == len(long) + len("my card is [CARD]")
    assert max(len(text) for text in read if text.endswith(SECOND)) <= MAX_END_CHARS + len(SECOND) + 1


TEXTS = st.sampled_from(
    ["my card is 4111 1111", "1111 1111", "4111", "1111", "hello", "212-555", "0147", "my code is", "482913", "dana@"]
)


def history():
    said_once = st.tuples(st.integers(0, 6), TEXTS, st.sampled_from([0, 10, 10, 400]), st.sampled_from("cca"))
    changes = st.tuples(st.integers(0, 6), st.none() | TEXTS)
    return st.lists(said_once | changes, max_size=12).map(numbered)


def numbered(drawn):
    events, first, seconds = [], {}, 0
    for place, part in enumerate(drawn):
        if len(part) == 2:
            number, text = part
            kind, fields = ("delete", {}) if text is None else ("edit", {"text": text})
            events.append(change(kind, f"change-{place}", number, **fields))
            continue
        number, text, pause, role = part
        seconds += pause
        roles = {"c": "customer", "a": "agent"}
        event = said(number, text, seconds=seconds - 20 * (place % 3), role=roles[role])
        events.append(first.setdefault(number, event))
    return events


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=history(), data=st.data())
def test_any_batches_with_crashes_and_a_run_end_alike(redactor, events, data):
    stream = stream_of(redactor)
    records = stream.append(*events)
    done = 0
    while done < len(records):
        end = data.draw(st.integers(done + 1, len(records)))
        if data.draw(st.booleans()):  # published and not committed: derived again, from the state before
            committed = copy.deepcopy(stream.memory)
            stream.land(records[done : data.draw(st.integers(done + 1, end))])
            stream.memory = committed
        stream.land(records[done:end])
        done = end
    one_by_one = stream_of(redactor)
    for event in events:
        one_by_one.send(event)
    run = stream_of(redactor)
    run.fold = lambda: ChatFold(run.deriver, ChatMemory(run.memory, lambda at: run.log[at.offset], forgets=False))
    run.send(*events)
    assert live(stream) == live(one_by_one) == live(run)


def live(stream):
    """Rows of the tables, without the retractions of passages that a micro-batch never published."""
    return {row_id: row for row_id, row in rows(stream).items() if row[0] != "retraction"}


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        ("", ""),
        ("hello, where is my parcel?", ""),
        ("my card is 4111 1111", "end"),
        ("1111 1111 is the rest of it, and thank you very much", "start"),
        ("12 parcels came and then I ordered another 3", "both"),
        ("1111 1111", "fragment"),
        ("four two", "fragment"),
        ("zwei drei", "fragment"),
        ("@example.com", "fragment"),
        ("GB29 NWBK", "fragment"),
        ("1" * 61, "both"),
    ],
)
def test_edges_of_a_text(text, edges):
    assert find_edges(text) == edges


def test_a_value_goes_on_from_an_end_to_a_start_and_through_a_fragment():
    assert may_continue("end", "start")
    assert may_continue("both", "both")
    assert may_continue("", "fragment")
    assert may_continue("fragment", "")
    assert not may_continue("start", "end")
    assert not may_continue("end", "")
    assert not may_continue("", "")
