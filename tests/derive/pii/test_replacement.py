"""What stands in the place of a value: its kind, its last four characters, or a tag of its conversation."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmplatform.derive.pii.policy import ModalityPolicy
from mmplatform.derive.pii.replacement import Replacements, derive_tag_key, replace_spans

KEY = derive_tag_key(b"secret of an installation")


def replaced(entity, value, action, conversation="acme/crm/c-1", key=KEY):
    replacements = Replacements({entity: action}, "1-test", key)
    text = replacements.replace(f"<{value}>", [(1, 1 + len(value), entity)], conversation)
    assert text.startswith("<[")
    return text[1:-1]


def test_without_a_policy_each_value_is_replaced_by_its_kind():
    assert Replacements().replace("I am Dana, dana@x.com", [(5, 9, "PERSON"), (11, 21, "EMAIL")], "c") == (
        "I am [PERSON], [EMAIL]"
    )
    assert replace_spans("a\ud800b", [(2, 3, "PIN")]) == "a\ufffd[PIN]"
    assert replace_spans("nothing", []) == "nothing"


@pytest.mark.parametrize(
    ("entity", "value", "expected"),
    [
        ("CARD", "4111 1111 1111 1234", "[CARD …1234]"),
        ("CARD", "4111-1111-1111-1234", "[CARD …1234]"),
        ("CARD", "4111<br>1111<br>1111<br>1234", "[CARD …1234]"),
        (
            "CARD",
            "\uff14\uff11\uff11\uff11 \uff11\uff11\uff11\uff11 \uff11\uff11\uff11\uff11 \uff11\uff12\uff13\uff14",
            "[CARD …1234]",
        ),
        ("CARD", "four one one one one one one one one one one one one two three four", "[CARD …1234]"),
        ("CARD", "378282246310005", "[CARD …0005]"),
        ("CARD", "4111 1111", "[CARD]"),  # a part of one, as an utterance may hold it
        ("CARD", "4111 1111 111", "[CARD]"),
        ("CARD", "4111 1111 1111 12S4", "[CARD]"),  # a letter that OCR read for a digit
        ("CARD", "4lll 1l1l 1ll1 1234", "[CARD]"),
        ("IBAN", "DE89 3704 0044 0532 0130 00", "[IBAN …3000]"),
        ("IBAN", "de89370400440532013000", "[IBAN …3000]"),
        ("IBAN", "mt84malt011000012345mtlcast001s", "[IBAN …001S]"),
        ("IBAN", "DE89 3704 0044", "[IBAN]"),
        ("PHONE", "+1 415 555 0123", "[PHONE]"),  # seven digits would stay hidden
        ("PHONE", "+44 20 7946 0958", "[PHONE …0958]"),
        ("BANK_ACCOUNT", "12345678", "[BANK_ACCOUNT]"),
        ("BANK_ACCOUNT", "0123 4567 8901", "[BANK_ACCOUNT …8901]"),
    ],
)
def test_the_last_four_are_shown_where_eight_others_stay_hidden(entity, value, expected):
    assert replaced(entity, value, "last_four") == expected


@example("00000000000000ß", "IBAN")
@given(st.text(max_size=60), st.sampled_from(["CARD", "IBAN", "PHONE", "BANK_ACCOUNT", "CRYPTO_WALLET"]))
@settings(max_examples=300, deadline=None)
def test_no_value_shows_more_than_its_last_four(value, entity):
    found = Replacements({entity: "last_four"}).replace(value, [(0, len(value), entity)], "c")
    shown = re.fullmatch(rf"\[{entity}(?: …(.*))?\]", found, re.DOTALL)
    assert shown
    assert shown[1] is None or len(shown[1]) == 4
    if shown[1]:
        assert sum(character.isalnum() for character in value) >= 4  # number words count as the digits that they are


def test_a_tag_is_the_same_for_one_value_in_one_conversation_only():
    tag = replaced("PERSON", "Dana Whitfield", "tag")
    assert re.fullmatch(r"\[PERSON [0-9a-f]{4}\]", tag)
    assert replaced("PERSON", "dana  WHITFIELD", "tag") == tag
    assert replaced("PERSON", "Mira Whitfield", "tag") != tag
    assert replaced("PERSON", "Dana Whitfield", "tag", conversation="acme/crm/c-2") != tag
    assert replaced("PERSON", "Dana Whitfield", "tag", conversation="other/crm/c-1") != tag
    assert replaced("PERSON", "Dana Whitfield", "tag", key=derive_tag_key(b"another installation")) != tag
    assert replaced("HANDLE", "Dana Whitfield", "tag")[-5:] != tag[-5:]


@pytest.mark.parametrize(
    ("entity", "first", "second"),
    [
        ("PHONE", "+1 (415) 555-0123", "+1.415.555.0123"),
        ("PHONE", "four one five five five five oh one two three", "415 555 0123"),
        ("EMAIL", "Dana@Example.com", "dana@example.com"),
        ("IBAN", "DE89 3704 0044 0532 0130 00", "de89370400440532013000"),
        ("SSN", "123-45-6789", "123 45 6789"),
        ("PERSON", "Émile Zola", "E\u0301mile Zola"),
        ("PERSON", "Иван Петров", "ИВАН ПЕТРОВ"),
    ],
)
def test_spellings_of_one_value_have_one_tag(entity, first, second):
    assert replaced(entity, first, "tag") == replaced(entity, second, "tag")


def test_a_value_without_a_letter_or_digit_has_no_tag():
    assert replaced("PERSON", "--", "tag") == "[PERSON]"


def test_a_part_of_a_value_is_always_replaced_by_its_kind():
    replace_value = Replacements({"CARD": "last_four"}).for_conversation("c")
    spans = [(0, 16, "CARD"), (17, 33, "CARD")]
    text = "4111111111111234 4111111111115678"
    assert replace_spans(text, spans, replace_value, parts={0}) == "[CARD] [CARD …5678]"


def test_tags_without_a_key_are_refused():
    with pytest.raises(ValueError, match="need a key"):
        Replacements.from_policy(ModalityPolicy({"PERSON": "tag"}, "1"))
    assert "secret" not in repr(Replacements({"PERSON": "tag"}, "1", b"secret"))
