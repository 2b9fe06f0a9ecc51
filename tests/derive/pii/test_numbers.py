"""Numbers of persons leave every text, in whatever separators, markup or look-alikes; facts made of digits stay."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmplatform.derive.pii.normalise import to_plain
from quality.card_numbers import passes_luhn
from tests.derive.pii.number_texts import CARDS, EMAILS, FACTS, HANDLES, IBANS, PHONES, SSNS
from tests.derive.pii.test_redactor import cards, check_spans
from tests.derive.pii.texts import redact_one

pytestmark = pytest.mark.models


@pytest.mark.parametrize(("text", "expected"), [*CARDS, *PHONES, *IBANS, *EMAILS, *SSNS, *HANDLES])
def test_a_number_in_any_form_is_replaced_by_its_entity(redactor, text, expected):
    result = redact_one(redactor, text)
    assert result.text == expected
    check_spans(text, result)


@pytest.mark.parametrize("text", FACTS)
def test_a_fact_of_digits_stays(redactor, text):
    assert redact_one(redactor, text).text == text


JOINS = (
    *(
        "&nbsp;",
        "&#160;",
        "&#x20;",
        "<br>",
        "<br/>",
        "</td><td>",
        "</td>\n<td>",
        "%20",
        "%2D",
        "+",
        " | ",
        "\\-",
        "\\n",
    ),
    *("</b><b>", "</span> <span>", "<wbr>", "\\u00a0", "&amp;nbsp;", "%2520", "**", "__", "&shy;", "&ndash;", " then "),
)
SIGNS = ";+=#*~^_|!?&%$@/\\<>{}[]()-.,:'\" \t\n\u00a0\u2013\u2022\u200b\u200d\u2060\u3000\uff1b"


def in_groups(card, join):
    if len(card) == 15:
        return join.join((card[:4], card[4:10], card[10:]))
    return join.join(card[start : start + 4] for start in range(0, len(card), 4))


@settings(max_examples=200)
@given(cards(), st.sampled_from(JOINS) | st.text(SIGNS, min_size=1, max_size=4))
def test_no_card_survives_with_any_separator(redactor, card, join):
    written = in_groups(card, join)
    result = redact_one(redactor, f"here it is: {written} ok")
    assert "CARD" in result.entities, written
    assert not re.search(r"\d{4}", to_plain(result.text)), (written, result.text)


LOOKALIKES = {"0": "OoQD", "1": "lI|i", "5": "Ss", "8": "B", "2": "Zz", "6": "Gb", "9": "gq"}


@settings(max_examples=150)
@given(cards().filter(lambda card: len(card) == 16), st.data())
def test_no_card_survives_with_lookalikes(redactor, card, data):
    positions = data.draw(st.sets(st.integers(1, 15), min_size=1, max_size=5))
    misread = "".join(
        data.draw(st.sampled_from(LOOKALIKES[digit])) if index in positions and digit in LOOKALIKES else digit
        for index, digit in enumerate(card)
    )
    text = in_groups(misread, " ")
    assert redact_one(redactor, text).entities == ("CARD",), text


ID_WORDS = (
    *("tracking number", "parcel", "order", "Order ID:", "invoice no.", "serial number", "IMEI", "ICCID:", "EAN"),
    *(
        "shipment",
        "booking",
        "Sendungsnummer",
        "Bestellnummer:",
        "numéro de commande",
        "número de pedido",
        "номер заказа",
    ),
)


@settings(max_examples=200)
@given(
    st.sampled_from(ID_WORDS),
    st.text("0123456789", min_size=7, max_size=22).filter(
        lambda digits: not (len(digits) == 16 and passes_luhn(digits))
    ),
    st.sampled_from(["", " please", ".", ", thanks"]),
)
def test_the_number_of_a_thing_stays(redactor, word, digits, after):
    text = f"{word} {digits}{after}"
    assert redact_one(redactor, text).text == text


@settings(max_examples=100)
@given(st.sampled_from([text for text, _ in IBANS if re.fullmatch(r"[A-Z]{2}\d\d[A-Z0-9 ]+", text)]), st.data())
def test_no_iban_survives_with_any_separator(redactor, iban, data):
    join = data.draw(st.text(" -._/:,;\n\u00a0\u2011", max_size=3) | st.sampled_from(["&nbsp;", "<br>", "%20"]))
    case = data.draw(st.sampled_from([str.upper, str.lower]))
    written = join.join(case(group) for group in iban.split())
    assert redact_one(redactor, f"account {written} ok").text == "account [IBAN] ok"


def test_a_wrong_check_digit_counts_only_where_a_card_is_meant(redactor):
    number = "4111 1111 1111 1112"
    assert not passes_luhn(number.replace(" ", ""))
    assert redact_one(redactor, number).text == number
    assert redact_one(redactor, f"card {number}").text == "card [CARD]"
    assert redact_one(redactor, f"card order number {number}").entities == ()
