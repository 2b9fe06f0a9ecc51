from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from quality.contract_gate import find_violations
from quality.contracts import CONTRACTS, VISIBLE_CHARACTER, ContractLimits

LIMITS = ContractLimits(max_chat_chars=10, max_image_pixels=100)
NOW = datetime.now(UTC)


def chat(**change):
    return {
        "event_id": "e",
        "conversation_id": "c",
        "subject_id": "s",
        "event_time": NOW,
        "ingested_at": NOW,
        "text": "hello",
    } | change


def test_good_rows_pass():
    assert find_violations("raw_chats", [chat(), chat(text="x" * 10)], LIMITS) == {}


def test_an_empty_batch_passes():
    assert all(find_violations(table, [], LIMITS) == {} for table in CONTRACTS)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"text": "x" * 11}, "text: text at most 10 characters"),
        ({"text": "a\x00b"}, "text: text without NUL"),
        ({"text": " \n\t "}, "text: text not blank"),
        ({"event_time": NOW + timedelta(hours=1)}, "event_time: event_time not in the future"),
        ({"event_time": datetime(1970, 1, 1, tzinfo=UTC)}, "event_time: event_time after 2000-01-01"),
        ({"subject_id": "a\x07"}, "subject_id: no control characters"),
    ],
)
def test_a_bad_row_is_named_with_its_reason_and_its_neighbours_pass(change, reason):
    assert find_violations("raw_chats", [chat(), chat(**change), chat()], LIMITS) == {1: (reason,)}


def test_blank_means_the_same_here_and_in_python():
    """The gateway uses Python's engine, the contract Polars'."""
    blank = [chr(point) for point in range(0x11000) if chr(point).isspace()]
    visible = ["a", "\u200b", "\u2060", "\ufeff", "\u00ad", "🙂", "\x7f"]
    assert [letter for letter in blank if re.search(VISIBLE_CHARACTER, letter)] == []
    assert all(re.search(VISIBLE_CHARACTER, letter) for letter in visible)
    found = find_violations("raw_chats", [chat(text=letter) for letter in [*blank, *visible]], LIMITS)
    assert found == dict.fromkeys(range(len(blank)), ("text: text not blank",))


def test_every_broken_rule_of_a_row_is_named():
    row = chat(text="\x00" * 11, event_time=NOW + timedelta(hours=1))
    assert len(find_violations("raw_chats", [row], LIMITS)[0]) == 3


def test_a_missing_value_is_a_reason():
    assert 0 in find_violations("raw_chats", [chat(text=None)], LIMITS)


def test_reasons_never_quote_the_value():
    [reasons] = find_violations("raw_chats", [chat(text="4111 1111 1111 1111 secret")], LIMITS).values()
    assert "4111" not in str(reasons)
    assert "secret" not in str(reasons)


def test_an_image_over_the_pixel_limit_is_named():
    row = chat() | {"width": 11, "height": 10}
    assert list(find_violations("raw_screenshots", [row | {"width": 10}, row], LIMITS)) == [1]


def test_a_call_end_has_no_audio_columns_and_passes():
    assert find_violations("raw_calls", [chat()], LIMITS) == {}


def test_eight_channels_pass_and_nine_do_not():
    rows = [chat() | {"channels": n, "duration_s": 1.0, "start_s": 0.0, "sample_rate": 8000} for n in (8, 9)]
    assert list(find_violations("raw_calls", rows, LIMITS)) == [1]


@pytest.mark.parametrize("text", ["card 4111 1111 1111 1111", "card 4111-1111-1111-1111.", "mail dana@example.com"])
def test_personal_data_that_slipped_through_is_stopped_before_the_index(text):
    assert 0 in find_violations("passages", [chat(text=text) | {"vector_norm": 1.0}], LIMITS)


@pytest.mark.parametrize(
    "text",
    [
        "my refund, reference 4532015112830367, has not arrived",
        "tracking 4000 1234 5678 9012 3456",
        "parcel 5212-3456-7890-1235",
        "0x4111111111111111",
        "41111111111111111",
    ],
)
def test_a_reference_without_a_cards_check_digit_is_no_card(text):
    assert find_violations("passages", [chat(text=text) | {"vector_norm": 1.0}], LIMITS) == {}


def test_a_card_right_behind_a_reference_is_stopped_and_its_neighbours_pass():
    row = chat() | {"vector_norm": 1.0}
    texts = ["fine", "4532015112830367 4111111111111111", None, "reference 4532015112830367", "4111.1111.1111.1111"]
    found = find_violations("passages", [row | {"text": text} for text in texts], LIMITS)
    assert {number: reasons for number, reasons in found.items() if number != 2} == {
        1: ("text: no card number",),
        4: ("text: no card number",),
    }
    assert found[2] == ("text: present",)


def test_an_order_number_is_not_a_card():
    assert (
        find_violations("passages", [chat(text="order 4471-2290, code PMT-402") | {"vector_norm": 1.0}], LIMITS) == {}
    )


def test_a_vector_of_no_length_is_stopped():
    assert 0 in find_violations("passages", [chat() | {"vector_norm": 0.0}], LIMITS)


def test_after_the_warm_up_the_first_batch_waits_for_no_import():
    code = """
import sys
from quality.contracts import ContractLimits
from quality.contract_gate import find_violations, warm_up
warm_up("raw_chats", ContractLimits())
before = set(sys.modules)
assert find_violations("raw_chats", [{"text": ""}], ContractLimits())
print("pandera.polars" in before, sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "True []\n"
