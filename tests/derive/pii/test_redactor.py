"""Personal data leaves every text, and support talk stays."""

import re
import socket

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmplatform.derive.adapters.model_files import locate_model
from mmplatform.derive.pii.redactor import PresidioRedactor
from mmplatform.derive.pii.vocabulary import UNITS
from mmplatform.errors import Misconfigured
from mmplatform.settings import load
from quality.card_numbers import passes_luhn

pytestmark = pytest.mark.models


def one(redactor, text, *, spoken=False):
    (result,) = redactor.redact([text], spoken=spoken)
    return result


WRITTEN = [
    ("my Visa, 4111 1111 1111 1111. same card", "my Visa, [CARD]. same card"),
    ("4111-1111-1111-1111 exp 12/26", "[CARD] exp 12/26"),
    ("4111.1111.1111.1111", "[CARD]"),
    ("4111,1111,1111,1111", "[CARD]"),
    ("4111/1111/1111/1111", "[CARD]"),
    ("4111 - 1111 - 1111 - 1111", "[CARD]"),
    ("2221000000000009 and 2720990000000007", "[CARD] and [CARD]"),
    ("5 5 5 5 5 5 5 5 5 5 5 5 4 4 4 4", "[CARD]"),
    ("3782 822463 10005", "[CARD]"),
    ("\uff14\uff11\uff11\uff11 1111\u00a01111\u20111111", "[CARD]"),
    ("4111\u200b1111\u200b1111\u200b1111", "[CARD]"),
    ("four one one one 1111 triple one one double one one one", "[CARD]"),
    ("call me at (415) 555-0123 ext. 12 today", "call me at [PHONE] today"),
    ("415.555.0123 or +1-415-555-0123", "[PHONE] or [PHONE]"),
    ("+44 20 7946 0958", "[PHONE]"),
    ("020 7946 0958", "[PHONE]"),
    ("07700 900123", "[PHONE]"),
    ("0049 30 901820", "[PHONE]"),
    ("4155550123x12", "[PHONE]"),
    ("my number is 555-0123", "my number is [PHONE]"),
    ("mail dana.whitfield+tag@sub.example.co.uk.", "mail [EMAIL]."),
    ("it's <DANA@EXAMPLE.COM>", "it's <[EMAIL]>"),
    ("dana (at) example (dot) com", "[EMAIL]"),
    ("write to dana at example dot com please", "write to [EMAIL] please"),
    ("I unsubscribed dana@example.com. It can take a day", "I unsubscribed [EMAIL]. It can take a day"),
    ("ssn 123-45-6789", "ssn [SSN]"),
    ("social security 123456789", "social security [SSN]"),
    ("IBAN DE89 3704 0044 0532 0130 00", "IBAN [IBAN]"),
    ("de89370400440532013000", "[IBAN]"),
    ("from 203.0.113.7 and 2001:db8::1", "from [IP] and [IP]"),
    ("my name is dana whitfield and I live here", "my name is [PERSON] and I live here"),
    ("This is Dana Whitfield calling", "This is [PERSON] calling"),
    ("Hi Dana, thanks. Dana's parcel is here", "Hi [PERSON], thanks. [PERSON]'s parcel is here"),
    ("Cardholder: Dana Whitfield", "Cardholder: [PERSON]"),
    ("Mr. Okonkwo called", "Mr. [PERSON] called"),
    ("Agent: Marcus", "Agent: [PERSON]"),
    ("ask for Maria Gonzalez-Perez or Mark Green", "ask for [PERSON] or [PERSON]"),
    ("Dana Whitfield", "[PERSON]"),
]


@pytest.mark.parametrize(("text", "expected"), WRITTEN)
def test_written_personal_data_is_replaced_by_its_kind(redactor, text, expected):
    assert one(redactor, text).text == expected


SPOKEN = [
    ("my card number is four one one one double one um one one one one triple one one one", "my card number is [CARD]"),
    ("it is four one one one, one one one one, one one one, one one one one", "it is [CARD]"),  # a digit got lost
    ("My card is 4111 1111 1111 111.", "My card is [CARD]."),
    ("It's 4-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1.", "It's [CARD]."),
    ("4111, 1111, 1111, 1111", "[CARD]"),
    ("forty one eleven eleven eleven eleven eleven eleven eleven", "[CARD]"),
    ("my card number is 4111 11", "my card number is [CARD]"),  # the rest is in the next utterance
    ("you can reach me at four one five five five five oh one two three", "you can reach me at [PHONE]"),
    ("My number is 415-555-0123.", "My number is [PHONE]."),
    ("oh two oh seven nine four six oh nine five eight", "[PHONE]"),
    ("one eight hundred five five five oh one nine nine", "[PHONE]"),
    ("dana at example dot com", "[EMAIL]"),
    ("dana dot whitfield at example dot co dot uk", "[EMAIL]"),
    ("d a n a at gmail dot com", "[EMAIL]"),
    ("D-A-N-A at gmail.com", "[EMAIL]"),
    ("It's dana.whitfield.atexample.com.", "It's [EMAIL]."),
    ("it is danawhitfieldatgmail.com", "it is [EMAIL]"),
    ("my social is one two three four five six seven eight nine", "my social is [SSN]"),
    ("my name is dana whitfield", "my name is [PERSON]"),
]


@pytest.mark.parametrize(("text", "expected"), SPOKEN)
def test_spoken_personal_data_is_replaced_by_its_kind(redactor, text, expected):
    assert one(redactor, text, spoken=True).text == expected


HARMLESS = [
    "order 4155550123 has not arrived",
    "Order ID: 20241123-000457 and ticket #4155550123",
    "order LF-482193, invoice INV-2024-001234, case CS-90817",
    "error code E-4012 and 0x80070005 at 10:15:22 on 2024-11-23",
    "2024-11-23 10:15:22.123 ERROR payment timeout after 30000 ms",
    "job 20241123101522 took 1700000000000 ms since epoch",
    "I paid $1,234,567.89 on 11/23/2024, or 1.299,00 EUR, or 4,111,111 yen",
    "tracking number 1Z999AA10123456784, serial number 490154203237518",
    "UUID 550e8400-e29b-41d4-a716-446655440000",
    "version 10.0.19045.3803 and driver 4.18.2.1",
    "pages 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24",
    "I tried it three times in twenty four hours, twice on Monday",
    "open from 9:00-17:30, Mon-Fri; the refund takes 5-10 business days",
    "my Visa ending in 4242 was declined",
    "look at example.com for details. It failed at checkout. It's the third time",
    "localhost 127.0.0.1 or 192.168.1.10",
    "Trailhead Jacket, Forest Green, Size M",
    "Gaussian Blur",
    "Insert Hyperlink",
    "Merino Base Layer",
    "Please Restart The App And Clear Cache",
    "Google Pay and Apple Wallet fail in Chrome on Windows 11",
    "Payment Failed. Try Again. Contact Support",
    "3-D Secure timeout, HTTP 502 Bad Gateway, PMT-402 at checkout, tax 19%, 2 x 30 days",
]
HARMLESS_SPOKEN = [
    "order number four eight two one nine three",
    "the order number is four eight two one nine three seven seven",
    "I tried three times, and waited twenty four hours for two emails",
    "it cost one hundred and eighty six dollars and forty cents",
    "PMT four oh two, three D secure timeout",
    "in 2022, 2023, 2024, 2025 it worked",
    "order LF-482193 for $186.40 on November 23rd, 2024 at 10:15",
    "one of them said seven to ten days",
    "it says error four zero two at checkout",
]


@pytest.mark.parametrize(
    ("text", "spoken"), [(text, False) for text in HARMLESS] + [(text, True) for text in HARMLESS_SPOKEN]
)
def test_support_talk_stays(redactor, text, spoken):
    assert one(redactor, text, spoken=spoken).text == text


def check_spans(text, result):
    """Disjoint, sorted, within the text, and what is replaced is what they say."""
    assert len(result.entities) == len(result.spans)
    behind = 0
    pieces = []
    clean = re.sub("[\ud800-\udfff]", "\ufffd", text)
    for (start, end), entity in zip(result.spans, result.entities, strict=True):
        assert behind <= start < end <= len(text)
        pieces += [clean[behind:start], f"[{entity}]"]
        behind = end
    assert result.text == "".join(pieces) + clean[behind:]
    result.text.encode()


PIECES = [
    *("0123456789 -.@+()/,:#x\x00\ud800\u200bé😀"),
    *("one ", "four ", "double ", "oh ", "hundred ", "um ", " at ", " dot ", "com", "Dana ", "order "),
]
ANYTHING = st.text(st.characters(), max_size=300) | st.lists(st.sampled_from(PIECES), max_size=120).map("".join)


@settings(max_examples=200, deadline=None)
@given(ANYTHING, st.booleans())
@example("\ud800", False)
@example("\x00" * 20_000, False)
@example("1" * 20_000, False)
@example("4 " * 10_000, False)
@example("one " * 5_000, True)
@example("\ufdfa" * 20_000, True)
@example("a@" * 10_000, False)
@example("x at y dot " * 1_800, True)
def test_whatever_the_text_spans_are_disjoint_sorted_and_within(redactor, text, spoken):
    check_spans(text, one(redactor, text, spoken=spoken))


def luhn_completed(body):
    return next(body + digit for digit in "0123456789" if passes_luhn(body + digit))


RANGES = [
    *(("4", 16), ("4", 13), ("4", 19), ("51", 16), ("55", 16), ("2221", 16), ("2720", 16), ("34", 15), ("37", 15)),
    *(("6011", 16), ("65", 16), ("36", 14), ("3530", 16), ("62", 16), ("62", 19), ("50", 16), ("6304", 18)),
]


@st.composite
def cards(draw):
    prefix, size = draw(st.sampled_from(RANGES))
    rest = size - len(prefix) - 1
    return luhn_completed(prefix + draw(st.text("0123456789", min_size=rest, max_size=rest)))


@st.composite
def groupings(draw, digits):
    separator = draw(
        st.sampled_from(["", " ", "-", ".", "  ", " - ", "/", ",", "_", "\u00a0", "\u2013", "\n", "\u200b", "|"])
    )
    size = draw(st.sampled_from([1, 4, len(digits)]))
    if len(digits) == 15 and size == 4:
        return separator.join((digits[:4], digits[4:10], digits[10:]))
    return separator.join(digits[at : at + size] for at in range(0, len(digits), size))


AROUND = st.sampled_from(["", "my card ", "pay with ", "(", "it is: ", "card=", "visa "])
BEHIND = st.sampled_from(["", " thanks", ")", ".", ", exp 11/27", " please\n", "!"])


@settings(max_examples=300, deadline=None)
@given(st.data(), cards(), AROUND, BEHIND, st.booleans())
def test_no_card_survives_in_any_form(redactor, data, card, before, behind, spoken):
    written = data.draw(groupings(card))
    result = one(redactor, before + written + behind, spoken=spoken)
    left = re.sub(r"\D", "", result.text.replace("11/27", ""))
    assert left == "", (written, result.text)
    assert "CARD" in result.entities


@settings(max_examples=150, deadline=None)
@given(cards(), st.sampled_from([" ", ", ", "-", " um "]), st.booleans(), st.data())
def test_no_dictated_card_survives(redactor, card, joint, spoken, data):
    said = [data.draw(st.sampled_from([UNITS[int(digit)], digit])) if spoken else UNITS[int(digit)] for digit in card]
    result = one(redactor, f"the number is {joint.join(said)} okay", spoken=spoken)
    assert result.text == "the number is [CARD] okay"


PHONE_FORMS = [
    "{a}-{b}-{c}",
    "({a}) {b}-{c}",
    "{a}.{b}.{c}",
    "{a} {b} {c}",
    "{a}{b}{c}",
    "+1{a}{b}{c}",
    "+1 {a} {b} {c}",
    "1-{a}-{b}-{c}",
    "+1 ({a}) {b}-{c}",
    "{a}/{b}-{c}",
    "{a}\u2011{b}\u2011{c}",
    "{a}\u00a0{b}\u00a0{c}",
]


@settings(max_examples=200, deadline=None)
@given(
    st.tuples(st.integers(200, 999), st.integers(200, 999), st.integers(0, 9999)),
    st.sampled_from(PHONE_FORMS),
    st.sampled_from(["", "call ", "my number is ", "reach me on ", "tel:", "it's "]),
    BEHIND,
    st.booleans(),
)
def test_no_phone_survives_in_any_form(redactor, number, form, before, behind, spoken):
    a, b, c = number
    written = form.format(a=a, b=b, c=f"{c:04}")
    result = one(redactor, before + written + behind, spoken=spoken)
    assert re.sub(r"\D", "", result.text.replace("11/27", "")) == "", (written, result.text)


LOCAL = st.from_regex(r"\A[a-z0-9][a-z0-9._%+\-]{0,20}[a-z0-9]\Z")
DOMAIN = st.from_regex(r"\A[a-z][a-z0-9\-]{0,15}[a-z0-9](\.[a-z]{2,8}){1,2}\Z")


@settings(max_examples=200, deadline=None)
@given(
    LOCAL,
    DOMAIN,
    st.sampled_from(["{}@{}", "<{}@{}>", "mailto:{}@{}", "({}@{})", "{}@{}.", "{}@{},", "email:{}@{};", "{} @ {}"]),
    st.sampled_from([str.lower, str.upper, str.title]),
    st.booleans(),
)
def test_no_email_survives_in_any_form(redactor, local, domain, form, case, spoken):
    address = case(form.format(local, domain))
    result = one(redactor, f"write to {address} please", spoken=spoken)
    assert "@" not in result.text
    assert "EMAIL" in result.entities or "CARD" in result.entities or "PHONE" in result.entities
    assert domain.split(".")[0] not in result.text.lower().replace("write to", "").replace("please", "").split()


def test_a_batch_gives_what_each_text_alone_gives(redactor):
    texts = [text for text, _ in WRITTEN] + HARMLESS
    assert redactor.redact(texts) == [one(redactor, text) for text in texts]
    assert redactor.redact([]) == []


def test_redacting_again_changes_nothing(redactor):
    once = [result.text for result in redactor.redact([text for text, _ in WRITTEN])]
    assert [result.text for result in redactor.redact(once)] == once


def test_nothing_is_asked_of_the_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    config = load()
    fresh = PresidioRedactor(locate_model(config.ner_model, config.models_path))
    assert one(fresh, "dana@example.co.uk, https://example.com/x").entities == ("EMAIL",)


def test_a_directory_without_a_model_is_told(tmp_path):
    with pytest.raises(Misconfigured):
        PresidioRedactor(tmp_path)
    (tmp_path / "ner").mkdir()
    (tmp_path / "ner" / "model").write_text("")
    with pytest.raises(Misconfigured, match="cannot load the spaCy model"):
        PresidioRedactor(tmp_path)


def test_what_was_read_is_not_remembered_word_by_word(redactor):
    words = redactor._engine.nlp["en"].vocab.strings
    redactor.redact(["warm up"])
    before = len(words)
    redactor.redact([f"Ask Zorblatine{n} about order QX{n}-77" for n in range(200)])
    assert "Zorblatine7" not in words
    assert len(words) == before
