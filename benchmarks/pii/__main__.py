"""Measures recall and precision of the redactor on synthetic labelled texts.

    python -m benchmarks.pii [--modality typed,spoken,dictated,shown,real] [--size N] [--seed N] [--out FILE] [--docs]

Typed: templates and records in many styles and languages. Spoken: sentences of a synthesizer (flite) through the speech
recogniser. Dictated: number words of other languages. Shown: pages of a browser (chromium) through OCR. Real: Debian's
help pages, where nearly every redaction is false: only notes of their authors name a person. The other data are
synthetic, so that misses may be printed.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

import structlog

from benchmarks.accuracy.corpora import Absent, pages
from benchmarks.machine import describe
from benchmarks.pii import report
from benchmarks.pii.cost import cost_table, ordinary_costs_us
from benchmarks.pii.dictated import DEFAULT_SIZE as DICTATED_SIZE
from benchmarks.pii.dictated import dictated_samples
from benchmarks.pii.floors import NothingRemoved, PatternsOnly
from benchmarks.pii.languages import language_table
from benchmarks.pii.samples import Piece, Sample, join
from benchmarks.pii.score import Score, score_texts
from benchmarks.pii.shown import DEFAULT_SIZE as SHOWN_SIZE
from benchmarks.pii.shown import shown_score
from benchmarks.pii.spoken import DEFAULT_SIZE as SPOKEN_SIZE
from benchmarks.pii.spoken import spoken_samples
from benchmarks.pii.typed import DEFAULT_SIZE, SEED, typed_samples
from mmplatform.pipeline.factories import open_language_detector, open_redactor
from mmplatform.ports import Redactor
from mmplatform.settings import Settings, load

PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "personal-data.md"
REAL_SIZE: Final = 120
_BATCH: Final = 64


def real_samples(size: int, seed: int) -> list[Sample]:
    """Draw help pages, as texts without labels. Raises Absent."""
    available = pages()
    drawn = Random(seed).sample(available, min(size, len(available)))
    return [join([Piece(page.body)], style=page.name, language="en", unseen=True) for page in drawn]


def measure(redactor: Redactor, samples: list[Sample]) -> Score:
    """Redact typed texts in batches and score them, with the time that the redactor took."""
    results = []
    real_s, cpu_s = time.perf_counter(), time.process_time()
    for start in range(0, len(samples), _BATCH):
        results += redactor.redact([sample.text for sample in samples[start : start + _BATCH]])
    real_s, cpu_s = time.perf_counter() - real_s, time.process_time() - cpu_s
    score = score_texts("typed", samples, results)
    score.real_s, score.cpu_s = real_s, cpu_s
    return score


def typed(redactor: Redactor, settings: Settings, size: int | None, seed: int) -> Score:
    """Score the typed set, and print its tables beside those of the baselines."""
    samples = typed_samples(size or DEFAULT_SIZE, seed)
    score = measure(redactor, samples)
    baselines = {floor.name: measure(floor, samples) for floor in (NothingRemoved(), PatternsOnly())}
    print(f"\n# typed, {len(samples)} texts\n\n{report.entity_table(score, baselines)}")
    for what, groups in (("style", score.by_style), ("language", score.by_language)):
        print(f"\n{report.group_table(what, groups)}")
    print(f"\nnames:\n\n{report.group_table('language', score.people_by_language)}\n")
    for name, measured in ((redactor.name, score), *baselines.items()):
        print(report.speed(name, measured))
    print(f"\n{cost_table(ordinary_costs_us(redactor, settings))}")
    print(f"\n{language_table(samples, open_language_detector(settings))}")
    return score


def spoken(redactor: Redactor, settings: Settings, size: int | None, seed: int) -> Score:
    """Score transcripts of synthetic speech."""
    samples = spoken_samples(size or SPOKEN_SIZE, seed, settings)
    score = score_texts("spoken", samples, redactor.redact([sample.text for sample in samples], spoken=True))
    print(f"\n# spoken, {len(samples)} sentences whose value was heard\n\n{report.entity_table(score, {})}")
    return score


def dictated(redactor: Redactor, settings: Settings, size: int | None, seed: int) -> Score:
    """Score cards and telephone numbers in number words of other languages."""
    del settings
    samples = dictated_samples(size or DICTATED_SIZE, seed)
    score = score_texts("dictated", samples, redactor.redact([sample.text for sample in samples], spoken=True))
    print(f"\n# dictated, {len(samples)} sentences in other languages\n\n{report.entity_table(score, {})}")
    print(f"\n{report.group_table('language', score.by_language)}")
    return score


def shown(redactor: Redactor, settings: Settings, size: int | None, seed: int) -> Score:
    """Score pages that OCR read."""
    score = shown_score(redactor, settings, size or SHOWN_SIZE, seed)
    print(f"\n# shown, {score.texts} pages\n\n{report.entity_table(score, {})}")
    print(f"\n{report.group_table('style', score.by_style)}")
    return score


def real(redactor: Redactor, settings: Settings, size: int | None, seed: int) -> Score:
    """Score real help pages as texts without personal data, and print the number of redactions."""
    del settings
    samples = real_samples(size or REAL_SIZE, seed)
    score = score_texts("real", samples, redactor.redact([sample.text for sample in samples]))
    words = sum(len(sample.text.split()) for sample in samples)
    print(f"\n# real, {len(samples)} help pages of {words} words\n")
    print("\n".join(f"{entity}: {counts.false} redactions" for entity, counts in score.by_entity.items()))
    return score


PARTS: Final[dict[str, Callable[[Redactor, Settings, int | None, int], Score]]] = {
    "typed": typed,
    "spoken": spoken,
    "dictated": dictated,
    "shown": shown,
    "real": real,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modality", default=",".join(PARTS), help="some of these, in any order")
    parser.add_argument("--size", type=int, help="texts, sentences or pages of each modality")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, help="file for the list of every miss and every false redaction")
    parser.add_argument("--docs", action="store_true", help=f"write the tables of {PAGE.name}")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    settings = load()
    redactor = open_redactor(settings)
    print(f"machine: {describe()}\nredactor: {redactor.name} {redactor.version}, seed {arguments.seed}", flush=True)
    scores: dict[str, Score] = {}
    for modality in arguments.modality.split(","):
        try:
            scores[modality] = PARTS[modality](redactor, settings, arguments.size, arguments.seed)
        except Absent as absent:
            print(f"{modality}: {absent}", file=sys.stderr)
    if arguments.out:
        failures = [failure for score in scores.values() for failure in score.failures]
        arguments.out.write_text(report.failure_list(failures), encoding="utf-8")
    if arguments.docs:
        report.write_docs(PAGE, report.docs_tables(scores, PAGE.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
