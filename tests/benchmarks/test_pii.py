"""The labelled set and the scores of ``benchmarks.pii``: a figure is worth what its counting is worth."""

import re

import pytest

from benchmarks.pii import report, shown
from benchmarks.pii.fields import LAYOUTS
from benchmarks.pii.floors import NothingRemoved, PatternsOnly
from benchmarks.pii.locales import LOCALES
from benchmarks.pii.numbers import luhn_completed
from benchmarks.pii.samples import EITHER, Piece, join
from benchmarks.pii.score import Counts, Score, score_texts
from benchmarks.pii.spoken import Sentence, label_transcript
from benchmarks.pii.styles import STYLES
from benchmarks.pii.typed import typed_samples
from mmplatform.derive.pii.entities import ENTITIES
from mmplatform.locators import Box
from mmplatform.ports import RecognisedLine, Redacted
from quality.card_numbers import passes_luhn

SIZE = 900


@pytest.fixture(scope="module")
def samples():
    return typed_samples(SIZE, 7)


def sample(*pieces):
    return join(pieces, style="plain", language="en", unseen=False)


def redacted(text, *values):
    spans = [(text.index(value), text.index(value) + len(value), entity) for value, entity in values]
    return Redacted(text="", entities=tuple(entity for _, _, entity in spans), spans=tuple(span[:2] for span in spans))


CARD = sample(
    Piece("card "), Piece("4111", "CARD", 1), Piece("&nbsp;", "CARD", 1, filler=True), Piece("1111", "CARD", 1)
)


def test_a_seed_gives_one_set(samples):
    assert typed_samples(SIZE, 7) == samples
    assert typed_samples(SIZE, 8) != samples


def test_every_entity_style_layout_and_language_is_in_the_set(samples):
    assert {label.entity for sample in samples for label in sample.values()} == set(ENTITIES)
    assert {sample.style for sample in samples} == {*STYLES, *LAYOUTS}
    assert {sample.language for sample in samples} == set(LOCALES)
    assert sum(not sample.values() for sample in samples) >= SIZE * 0.25
    assert any(sample.unseen and sample.values() for sample in samples)


def test_labels_are_disjoint_and_lie_where_the_value_stands(samples):
    for sample in samples:
        copied_to = 0
        for label in sample.labels:
            assert copied_to <= label.start < label.end <= len(sample.text)
            copied_to = label.end
            assert all(label.start <= start < end <= label.end for start, end in label.parts)


def test_labelled_cards_pass_the_test_of_cards(samples):
    cards = [
        re.sub(r"\D", "", "".join(sample.text[start:end] for start, end in label.parts))
        for sample in samples
        for label in sample.values()
        if label.entity == "CARD"
    ]
    assert len(cards) > 50
    assert all(passes_luhn(card) for card in cards)
    assert passes_luhn(luhn_completed("411111111111111"))


def test_a_value_is_removed_when_nothing_of_it_survives():
    full = score_texts("typed", [CARD], [redacted(CARD.text, ("4111&nbsp;1111", "CARD"))])
    assert full.by_entity["CARD"] == Counts(values=1, removed=1, named=1, right=1)
    parts = score_texts("typed", [CARD], [redacted(CARD.text, ("4111", "CARD"), ("1111", "PHONE"))])
    assert parts.by_entity["CARD"].removed == 1


def test_a_half_removed_value_is_a_miss_and_is_listed():
    score = score_texts("typed", [CARD], [redacted(CARD.text, ("4111", "PHONE"))])
    assert score.by_entity["CARD"] == Counts(values=1)
    assert score.by_entity["PHONE"] == Counts(right=1)
    [failure] = score.failures
    assert (failure.kind, failure.entity, failure.value) == ("miss", "CARD", "4111&nbsp;1111")


def test_another_name_counts_as_removed_and_not_as_named():
    score = score_texts("typed", [CARD], [redacted(CARD.text, ("4111&nbsp;1111", "IBAN"))])
    assert score.by_entity["CARD"] == Counts(values=1, removed=1)


@pytest.mark.parametrize("lost", ["order 482", "my order today", "today"])
def test_harmless_text_that_is_removed_counts_against_precision(lost):
    text = sample(Piece("my order 482 and my order today"))
    score = score_texts("typed", [text], [redacted(text.text, (lost, "PHONE"))])
    assert score.by_entity["PHONE"] == Counts(false=1)
    assert score.by_entity["PHONE"].precision == 0


def test_a_span_that_takes_more_than_the_value_is_false():
    text = sample(Piece("order 77 "), Piece("Dana", "PERSON"), Piece(" called about it"))
    assert score_texts("typed", [text], [redacted(text.text, ("Dana called", "PERSON"))]).total().right == 1
    assert score_texts("typed", [text], [redacted(text.text, ("Dana called about", "PERSON"))]).total().false == 1
    assert score_texts("typed", [text], [redacted(text.text, ("77 Dana", "PERSON"))]).total().false == 1


def test_text_that_may_go_or_stay_counts_neither_way():
    text = sample(Piece("1 Main St", "ADDRESS"), Piece(", "), Piece("Springfield", EITHER))
    for spans in ([("1 Main St", "ADDRESS")], [("1 Main St", "ADDRESS"), ("Springfield", "ADDRESS")]):
        counts = score_texts("typed", [text], [redacted(text.text, *spans)]).by_entity["ADDRESS"]
        assert counts == Counts(values=1, removed=1, named=1, right=1)
    assert score_texts("typed", [text], [redacted(text.text)]).total() == Counts(values=1)


def test_f2_weighs_recall_above_precision():
    assert Counts(values=10, removed=10, right=5, false=5).f2 > Counts(values=10, removed=5, right=5).f2
    assert Counts(values=10).f2 == 0


def test_the_baselines_are_a_floor(samples):
    texts = [sample.text for sample in samples]
    nothing = score_texts("typed", samples, NothingRemoved().redact(texts)).total()
    patterns = score_texts("typed", samples, PatternsOnly().redact(texts)).total()
    assert (nothing.recall, nothing.precision) == (0, 1)
    assert 0.2 < patterns.recall < 0.5


def test_tables_on_a_page_are_replaced_between_their_markers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "a\n<!-- by-entity: begin -->\nold\n<!-- by-entity: end -->\nb\n<!-- x: begin -->\ny\n<!-- x: end -->\n"
    )
    score = Score("typed", by_entity={"CARD": Counts(values=4, removed=3, right=3, false=1)})
    scores = {"typed": score, "spoken": score, "shown": Score("shown")}
    report.write_docs(page, report.docs_tables(scores))
    text = page.read_text()
    assert "| `CARD` | 4, 0.750, 0.750 | 4, 0.750, 0.750 |  |" in text
    assert "old" not in text
    assert "\ny\n" in text
    before = text
    report.write_docs(page, report.docs_tables({"typed": score}))  # without the others the table by entity stays
    assert page.read_text() == before
    better = Score("typed", by_entity={"CARD": Counts(values=4, removed=4, right=4)})
    report.write_docs(page, report.docs_tables({"typed": better}, before))
    assert "| `CARD` | 4, 1.000, 1.000 | 4, 0.750, 0.750 |  |" in page.read_text()


def heard(transcript, before, value, after="", entity="CARD"):
    sample = label_transcript(transcript, Sentence(before, value, after, entity, "slt"))
    if sample is None:
        return None
    return [sample.text[start:end] for label in sample.labels for start, end in label.parts]


@pytest.mark.parametrize(
    ("transcript", "entity", "before", "value", "after", "parts"),
    [
        ("My car number is 4111, 1111.", "CARD", "my card number is", "four one", "", ["4111", "1111"]),
        ("The best film number from A673-543", "PHONE", "the best phone number for me is", "six", "", ["673-543"]),
        ("it is four, double one", "PIN", "it is", "four one one", "", ["four,", "double", "one"]),
        ("This is Karen Peters and Klawling.", "PERSON", "this is", "Karen Peters", "calling", ["Karen", "Peters"]),
        ("This is Dana Whitfield calling.", "PERSON", "this is", "Dana Whitfield", "calling", ["Dana", "Whitfield"]),
        ("email is dana at mail dot com", "EMAIL", "my email is", "dana at mail dot com", "", ["dana", "mail", "com"]),
        ("My card number is.", "CARD", "my card number is", "four", "", None),
    ],
)
def test_a_value_is_labelled_in_what_was_heard(transcript, entity, before, value, after, parts):
    assert heard(transcript, before, value, after, entity) == parts


def row_score(row, before, after):
    lines = [
        [RecognisedLine(text=text, box=Box(x0=10, y0=100, x1=600, y1=120), confidence=1.0) for text in texts]
        for texts in (before, after)
    ]
    lines[0].append(RecognisedLine(text="another row", box=Box(x0=10, y0=300, x1=600, y1=320), confidence=1.0))
    lines[1].append(RecognisedLine(text="[PIN]", box=Box(x0=10, y0=300, x1=600, y1=320), confidence=1.0))
    score = Score("shown")
    shown._count(score, row, *lines)
    return score


SHOWN_CARD = shown.Row("Card number", "4111 1111", "CARD", "screen", box=(0, 95, 900, 125))


@pytest.mark.parametrize(
    ("after", "counts"),
    [
        (["Card number", "[CARD]"], Counts(values=1, removed=1, named=1, right=1)),
        (["Cord nunber", "[CARD]"], Counts(values=1, removed=1, named=1, right=1)),
        (["Card number", "[CARD] 1111"], Counts(values=1, right=1)),
        (["Card number", "[CARD] [CARD]"], Counts(values=1, removed=1, named=1, right=1)),
        (["Card number", "4lll llll"], Counts(values=1)),
    ],
)
def test_a_shown_value_is_removed_when_only_its_label_is_left(after, counts):
    score = row_score(SHOWN_CARD, ["Card number", "4111 1111"], after)
    assert score.by_entity == {"CARD": counts}
    assert bool(score.failures) != bool(counts.removed)


def test_a_shown_value_that_was_not_read_does_not_count():
    assert row_score(SHOWN_CARD, ["Card number"], ["Card number"]).by_entity == {}


def test_a_harmless_row_that_changes_is_a_false_redaction():
    row = shown.Row("Version", "120.0.6099.109", "", "screen", box=(0, 95, 900, 125))
    assert row_score(row, ["Version 120.0"], ["Version 120.0"]).total() == Counts()
    assert row_score(row, ["Version 120.0"], ["Version [PHONE]"]).by_entity == {"PHONE": Counts(false=1)}
