"""Only texts that can hold a name go through the language model, and the result is the same."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmplatform.derive.adapters.model_files import locate_model
from mmplatform.derive.pii.name_models import LANGUAGE
from mmplatform.derive.pii.names import _WORD, _may_be_name, may_hold_name
from mmplatform.derive.pii.redactor import PresidioRedactor
from mmplatform.derive.pii.vocabulary import NOT_NAMES
from mmplatform.settings import load
from tests.derive.pii.chinese_texts import CHINESE_NAMED, CHINESE_NAMELESS
from tests.derive.pii.name_texts import NAMED, NAMELESS
from tests.derive.pii.texts import HARMLESS, WRITTEN, redact_one

pytestmark = pytest.mark.models


@pytest.mark.parametrize(
    ("text", "may"),
    [
        ("Hi, I can't log in since the update. It says: Payment failed", False),
        ("order LF-482193 for $186.40, PMT-402, HTTP 502 and the SMS", False),
        ("Google's and Apple's, We're Sorry. My ID's", False),
        ("Don't", True),  # on no list
        ("I'Li", True),
        ("thanks Dana", True),
        ("e-mail to O'Brien", True),
        ("E-Mail", True),
        ("is it iPhone or McD", True),
        ("\U0001d400da", True),  # a capital that has no small letter
        ("4111 1111 1111 1111", False),
        ("", False),
    ],
)
def test_a_name_needs_a_capital_that_is_not_a_words_of_the_shop(text, may):
    assert may_hold_name(text) == may


CASES = st.sampled_from([str.lower, str.capitalize, str.upper, str.title])
OTHER_WORDS = [
    "dana",
    "okonkwo",
    "o'brien",
    "wi-fi",
    "LF-4821",
    "PMT-402",
    "paris",
    "german",
    "ID's",
    "calling",
    "\u01c5a",
    "x9",
]
WORD = st.builds(
    lambda word, case, ending: case(word) + ending,
    st.sampled_from([*sorted(NOT_NAMES), *OTHER_WORDS]),
    CASES,
    st.sampled_from(["", "", "", "'s", "\u2019re", ",", ".", ":", "-", "-It", "_1", "'"]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(WORD, max_size=15).map(" ".join))
@example("This is Dana from Paris calling. My ID: Okonkwo")
@example("Its Me. Ill Call Him. Id Like It, Im Not Sure, Were Sorry")
def test_a_text_that_skips_the_language_model_has_no_name_in_it(redactor, text):
    found = redact_one(redactor, text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmplatform.derive.pii.redactor.may_hold_name", lambda *_, **__: True)
        assert found == redact_one(redactor, text)


@pytest.fixture(scope="module")
def texts():
    return ([text for text, *_ in WRITTEN] + HARMLESS) * 4


def test_a_batch_is_redacted_in_its_order_as_if_the_language_model_had_read_it_all(redactor, texts, monkeypatch):
    checked = sum(map(may_hold_name, texts))
    assert min(checked, len(texts) - checked) > 64, "more of each than spaCy reads at once"
    found = redactor.redact(texts)
    assert found == [redact_one(redactor, text) for text in texts]
    monkeypatch.setattr("mmplatform.derive.pii.redactor.may_hold_name", lambda *_, **__: True)
    assert found == redactor.redact(texts)


def test_no_part_of_a_word_that_skips_the_model_can_be_a_name(redactor):
    """However spaCy splits it: a word added to the list later, as ``can``, would let ``Ca|n't`` pass."""
    language = redactor._model.engine.nlp[LANGUAGE]
    cases = (str.lower, str.capitalize, str.upper, str.title)
    endings = ("", "'s", "'S", "\u2019re", "'ll", "n't", ",", ".", ":", "-", "-It", "_1", "'", "\u2019Li")
    words = {case(word) + ending for word in [*NOT_NAMES, *OTHER_WORDS] for case in cases for ending in endings}
    words |= {case(word) for word in language.tokenizer.rules for case in cases}
    skipped = sorted(word for word in words if not may_hold_name(word))
    assert len(skipped) > 5_000
    for word, doc in zip(skipped, map(language.make_doc, skipped), strict=True):
        for start in range(len(doc)):
            for end in range(start + 1, len(doc) + 1):
                parts = [part for part in _WORD.findall(doc[start:end].text) if part.strip("'\u2019-")]
                assert not any(map(_may_be_name, parts)), (word, parts)


def test_the_warm_up_reads_texts_with_and_without_names(monkeypatch):
    checked = []

    def may(*arguments, **options):
        checked.append(may_hold_name(*arguments, **options))
        return checked[-1]

    monkeypatch.setattr("mmplatform.derive.pii.redactor.may_hold_name", may)
    named = load()
    PresidioRedactor(locate_model(named.ner_model, named.models_path))
    assert set(checked) == {False, True}


@pytest.mark.parametrize(("text", "expected"), NAMED + CHINESE_NAMED)
def test_a_name_is_found_in_any_case_and_script(redactor, text, expected):
    assert redact_one(redactor, text).text == expected


@pytest.mark.parametrize("text", NAMELESS + CHINESE_NAMELESS)
def test_words_that_are_no_names_stay(redactor, text):
    assert redact_one(redactor, text).text == text
