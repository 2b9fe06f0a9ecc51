"""Codes, secrets, dates, addresses and documents leave every text; talk about them stays."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmplatform.derive.pii.coded_addresses import find_coded_addresses
from mmplatform.derive.pii.normalise import to_plain
from mmplatform.derive.pii.special import special_recognizers
from mmplatform.derive.pii.unwrapped import without_line_breaks
from tests.derive.pii import special_texts, special_variants, stated_texts
from tests.derive.pii.texts import HARMLESS, redact_one

pytestmark = pytest.mark.models

TABLES = vars(special_texts) | vars(special_variants) | vars(stated_texts)
LEAKS = [row for name, rows in TABLES.items() if name.endswith("_LEAKS") for row in rows]
TALK = [(text, name == "SPOKEN_TALK") for name, texts in TABLES.items() if name.endswith("_TALK") for text in texts]
OTHERS = {"PERSON", "PHONE"}
"""Entities of other finders, which have tests of their own."""


@pytest.mark.parametrize(("text", "values"), [(text, values) for text, *values in LEAKS])
def test_no_part_of_a_value_survives(redactor, text, values):
    assert all(value in text for value in values), "the row is wrong"
    result = redact_one(redactor, text)
    assert not [value for value in values if value in result.text], result.text


@pytest.mark.parametrize(("text", "values"), [(text, values) for text, *values in special_texts.SPOKEN])
def test_no_part_of_a_dictated_value_survives(redactor, text, values):
    assert all(value in text for value in values), "the row is wrong"
    result = redact_one(redactor, text, spoken=True)
    assert not [value for value in values if value in result.text], result.text


@pytest.mark.parametrize(("text", "spoken"), TALK)
def test_talk_about_codes_and_documents_stays(redactor, text, spoken):
    assert set(redact_one(redactor, text, spoken=spoken).entities) <= OTHERS


def test_a_redacted_text_holds_nothing_more_to_redact(redactor):
    once = [result.text for result in redactor.redact([text for text, *_ in LEAKS])]
    again = redactor.redact(once)
    assert [text for text, result in zip(once, again, strict=True) if not set(result.entities) <= OTHERS] == []


def test_an_amount_behind_a_card_stays(redactor):
    assert redact_one(redactor, "4111 1111 1111 1111 was charged 250 twice").text == "[CARD] was charged 250 twice"
    assert redact_one(redactor, "4111 1111 1111 1111, 12/27, order 250").text == "[CARD], [CARD_EXPIRY], order 250"
    for amount in ("250 EUR was charged", "250 eur", "250 €", "250€", "500 dollars", "500 $", "500  USD", "300 CHF"):
        assert "CVV" not in redact_one(redactor, f"4111 1111 1111 1111 {amount}").entities
        assert redact_one(redactor, f"4111 1111 1111 1111, {amount}").text == f"[CARD], {amount}"
        dated = redact_one(redactor, f"4111 1111 1111 1111, 12/27, {amount}").text
        assert dated == f"[CARD], [CARD_EXPIRY], {amount}"


@pytest.mark.parametrize(
    "words", ["fl ", "fl 12345 ", "Fl 1, Fl 12345 ", "1 " + "fl " * 37 + "12345 ", "1 " + "Fl " * 9 + ", Ab 12345 "]
)
def test_units_one_after_the_other_take_no_exponential_time(words):
    """Some 130 ms of processor at most were measured, 3 s before each word was read in one way only."""
    text = (words * 5000)[:5000] + " 12345"
    start = time.process_time()
    list(find_coded_addresses(text))
    assert time.process_time() - start < 0.4, "three times, for a slow machine"


def test_a_text_without_a_digit_has_no_value_of_the_entities_that_it_is_not_searched_for(redactor, monkeypatch):
    texts = [re.sub(r"\d", "", to_plain(text)) for text, *_ in LEAKS]
    found = redactor.redact(texts)
    assert sum(bool(result.entities) for result in found) > 100
    monkeypatch.setattr("mmplatform.derive.pii.redactor._DIGIT", re.compile(""))
    assert found == redactor.redact(texts)


def test_a_break_between_the_lines_of_a_form_stays():
    for text in (
        "Street address: 7 Orchard Knoll\nAmount: 885 EUR",
        "Calle Jose Miguel Leal 529\nTransaction id\n328972861875",
        "I waited for two weeks now.\nplease call me",
        "short\nlines",
    ):
        assert without_line_breaks(text) is None


SIGNS = st.sampled_from(
    [
        ": ",
        ":",
        " = ",
        "=",
        " is ",
        ":\n",
        "\n",
        " | ",
        "\t",
        " " * 30,
        '": "',
        "</td><td>",
        " - ",
        " -> ",
        "：",
        ":&nbsp;",
    ]
)
DIGITS = "0123456789"
DIGIT_VALUES = {
    "CVV": (["cvv", "CVC", "Security code", "security_code", "cvv2", "código de seguridad", "安全码"], 3, 4),
    "PIN": (["pin", "PIN code", "my card pin", "Geheimzahl", "暗証番号"], 4, 6),
    "ONE_TIME_CODE": (["verification code", "OTP", "one-time code", "Bestätigungscode", "验证码"], 6, 6),
    "BANK_ACCOUNT": (["account number", "Acct #", "Kontonummer", "número de cuenta"], 8, 12),
    "PASSPORT": (["passport number", "Passport No.", "Reisepass", "passeport", "护照号"], 9, 9),
}


@settings(max_examples=150, deadline=None)
@given(
    st.data(), st.sampled_from(sorted(DIGIT_VALUES)), SIGNS, st.sampled_from(["", " thanks", ".", "\nnext", ", please"])
)
def test_no_digits_survive_their_label(redactor, data, entity, sign, following):
    labels, shortest, longest = DIGIT_VALUES[entity]
    label = data.draw(st.sampled_from(labels))
    value = data.draw(st.text(DIGITS, min_size=shortest, max_size=longest))
    result = redact_one(redactor, f"hello, {label}{sign}{value}{following}")
    assert value not in result.text, result.text


PASSWORD_LABELS = ["password", "Password", "my pw", "DB_PASSWORD", "passwort", "mot de passe", "contraseña", "пароль"]
PASSWORDS = st.from_regex(r"\A[A-Za-z][A-Za-z]{2,8}[0-9]{1,4}[!@#%^*+]?\Z") | st.from_regex(
    r"\A[a-z]{3,6}[!@#$%^*+][a-z]{3,6}\Z"
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(PASSWORD_LABELS), SIGNS, PASSWORDS, st.sampled_from(["", " thanks", "\nnext", ", please", ". It"])
)
def test_no_password_survives_its_label(redactor, label, sign, value, following):
    result = redact_one(redactor, f"hello, {label}{sign}{value}{following}")
    assert value not in result.text, result.text


def test_the_recognizers_cost_ordinary_chats_little():
    """At most 0.4 ms of processor a text; 0.15 ms measured."""
    recognizers = special_recognizers()
    texts = (HARMLESS * 40)[:1000]
    for recognizer in recognizers:  # compiles the patterns
        recognizer.analyze(texts[0], recognizer.supported_entities)
    start = time.process_time()
    for text in texts:
        for recognizer in recognizers:
            recognizer.analyze(text, recognizer.supported_entities)
    assert (time.process_time() - start) / len(texts) < 0.0004 * 3, "three times, for a slow machine"
