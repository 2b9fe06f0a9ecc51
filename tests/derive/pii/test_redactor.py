"""Personal data leaves every text, and support talk stays."""

import re
import socket

import pytest
import spacy
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmplatform.derive.adapters.model_files import locate_model
from mmplatform.derive.pii.name_models import SpacyNames
from mmplatform.derive.pii.redactor import PresidioRedactor
from mmplatform.derive.pii.vocabulary import UNITS
from mmplatform.errors import Misconfigured
from mmplatform.settings import load
from quality.card_numbers import passes_luhn
from tests.derive.pii.texts import HARMLESS, WRITTEN, redact_one

pytestmark = pytest.mark.models


@pytest.mark.parametrize(("text", "expected"), WRITTEN)
def test_written_personal_data_is_replaced_by_its_entity(redactor, text, expected):
    assert redact_one(redactor, text).text == expected


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
    ("Send it to the email address faith.vescazadmail.com.", "Send it to the email address [EMAIL]."),
    ("my email is Jessica.JonesAtMail.com.", "my email is [EMAIL]."),
    ("Send it to this email address jason.welfth.mail.com.", "Send it to this email address [EMAIL]."),
    ("You can write to me, my email is conny.o and zitmail.com.", "You can write to me, my email is [EMAIL]."),
    ("I signed up with barbera.goodmanetyahoo.com.", "I signed up with [EMAIL]."),
    ("The account is under lin.hadenatmail.com. I believe.", "The account is under [EMAIL]. I believe."),
    ("The account is under Lisa.Walker at .mail.com. I believe.", "The account is under [EMAIL]. I believe."),
    ("You can reach me on 575 for 499-5932 after 6.", "You can reach me on [PHONE] after 6."),
    ("Please charge the card 6011 for 870, 60295, 6514.", "Please charge the card [CARD]."),
    ("my social is one two three four five six seven eight nine", "my social is [SSN]"),
    ("my name is dana whitfield", "my name is [PERSON]"),
]


SPOKEN_FACTS = [
    "Go to support.apple.com and log in at accounts.gmail.com.",
    "We use gmail.com and hotmail.com at work.",
    "The order failed. Mail.com is down.",
    "I paid 100 for 2 of them, and 20 for 15 days.",
    "From 2019 to 2023 it was 12 for 24 months.",
]


@pytest.mark.parametrize("text", SPOKEN_FACTS)
def test_spoken_addresses_of_sites_and_prices_stay(redactor, text):
    assert redact_one(redactor, text, spoken=True).text == text


@pytest.mark.parametrize(("text", "expected"), SPOKEN)
def test_spoken_personal_data_is_replaced_by_its_entity(redactor, text, expected):
    assert redact_one(redactor, text, spoken=True).text == expected


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
    "I got an email from shop.example.com",
    "please send the email to support and visit example.com",
]


@pytest.mark.parametrize(
    ("text", "spoken"), [(text, False) for text in HARMLESS] + [(text, True) for text in HARMLESS_SPOKEN]
)
def test_support_talk_stays(redactor, text, spoken):
    assert redact_one(redactor, text, spoken=spoken).text == text


def check_spans(text, result):
    """Check that spans are disjoint, sorted, within the text, and match the redacted text."""
    assert len(result.entities) == len(result.spans)
    copied_to = 0
    pieces = []
    clean = re.sub("[\ud800-\udfff]", "\ufffd", text)
    for (start, end), entity in zip(result.spans, result.entities, strict=True):
        assert copied_to <= start < end <= len(text)
        pieces += [clean[copied_to:start], f"[{entity}]"]
        copied_to = end
    assert result.text == "".join(pieces) + clean[copied_to:]
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
    check_spans(text, redact_one(redactor, text, spoken=spoken))


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
    return separator.join(digits[start : start + size] for start in range(0, len(digits), size))


PRECEDING = st.sampled_from(["", "my card ", "pay with ", "(", "it is: ", "card=", "visa "])
FOLLOWING = st.sampled_from(["", " thanks", ")", ".", ", exp 11/27", " please\n", "!"])


@settings(max_examples=300, deadline=None)
@given(st.data(), cards(), PRECEDING, FOLLOWING, st.booleans())
def test_no_card_survives_in_any_form(redactor, data, card, before, following, spoken):
    written = data.draw(groupings(card))
    result = redact_one(redactor, before + written + following, spoken=spoken)
    left = re.sub(r"\D", "", result.text.replace("11/27", ""))
    assert left == "", (written, result.text)
    assert "CARD" in result.entities


@settings(max_examples=150, deadline=None)
@given(cards(), st.sampled_from([" ", ", ", "-", " um "]), st.booleans(), st.data())
def test_no_dictated_card_survives(redactor, card, joint, spoken, data):
    spoken_digits = [
        data.draw(st.sampled_from([UNITS[int(digit)], digit])) if spoken else UNITS[int(digit)] for digit in card
    ]
    result = redact_one(redactor, f"the number is {joint.join(spoken_digits)} okay", spoken=spoken)
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
    FOLLOWING,
    st.booleans(),
)
def test_no_phone_survives_in_any_form(redactor, number, form, before, following, spoken):
    a, b, c = number
    written = form.format(a=a, b=b, c=f"{c:04}")
    result = redact_one(redactor, before + written + following, spoken=spoken)
    assert re.sub(r"\D", "", result.text.replace("11/27", "")) == "", (written, result.text)


LOCAL = st.from_regex(r"\A[a-z0-9][a-z0-9._%+\-]{0,20}[a-z0-9]\Z")
DOMAIN = st.from_regex(r"\A[a-z][a-z0-9\-]{0,15}[a-z0-9](\.[a-z]{2,8}){1,2}\Z")


@settings(max_examples=200, deadline=None)
@example("ni.no0000", "example.com", "{}@{}", str.lower, False)  # a label and its digits
@example("pin.4471", "example.com", "{}@{}", str.lower, False)
@example("00", "rg000000.aa", "{}@{}", str.lower, False)
@given(
    LOCAL,
    DOMAIN,
    st.sampled_from(["{}@{}", "<{}@{}>", "mailto:{}@{}", "({}@{})", "{}@{}.", "{}@{},", "email:{}@{};", "{} @ {}"]),
    st.sampled_from([str.lower, str.upper, str.title]),
    st.booleans(),
)
def test_no_email_survives_in_any_form(redactor, local, domain, form, case, spoken):
    address = case(form.format(local, domain))
    result = redact_one(redactor, f"write to {address} please", spoken=spoken)
    assert "@" not in result.text
    assert "EMAIL" in result.entities or "CARD" in result.entities or "PHONE" in result.entities
    assert domain.split(".")[0] not in result.text.lower().replace("write to", "").replace("please", "").split()


def test_a_batch_gives_what_each_text_alone_gives(redactor):
    texts = [text for text, _ in WRITTEN] + HARMLESS
    assert redactor.redact(texts) == [redact_one(redactor, text) for text in texts]
    assert redactor.redact([]) == []


def test_redacting_again_changes_nothing(redactor):
    once = [result.text for result in redactor.redact([text for text, _ in WRITTEN])]
    assert [result.text for result in redactor.redact(once)] == once


def test_no_connection_is_opened(monkeypatch):
    def refuse(*_):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    config = load()
    fresh = PresidioRedactor(locate_model(config.ner_model, config.models_path))
    assert redact_one(fresh, "dana@example.co.uk, https://example.com/x").entities == ("EMAIL",)


def test_a_directory_without_a_model_is_refused(tmp_path):
    with pytest.raises(Misconfigured):
        PresidioRedactor(tmp_path)
    (tmp_path / "ner").mkdir()
    (tmp_path / "ner" / "model").write_text("")
    with pytest.raises(Misconfigured, match="cannot load the spaCy model"):
        PresidioRedactor(tmp_path)


def test_words_of_redacted_texts_are_not_stored(tmp_path):
    language = spacy.blank("en")
    language.add_pipe("ner").add_label("PERSON")
    language.initialize()
    language.to_disk(tmp_path)
    model = SpacyNames(tmp_path)
    words = model.engine.nlp["en"].vocab.strings
    before = len(words)
    with model.forget_words():
        model.read([f"Ask Zorblatine{n} about order QX{n}-77" for n in range(200)])
    assert "Zorblatine7" not in words
    assert len(words) == before
