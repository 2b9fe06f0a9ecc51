"""Measures how well the product hears, reads and finds: one table, on real data.

    python -m benchmarks.accuracy [--minutes 10] [--screens 200] [--seed N] [--only PARTS] [--vad silero]

Speech: the words of live calls (chunks of a second through the call deriver) against what is said, beside the same
model with the whole recording at once; joined and telephone: all recordings in one call. Silence, noise, music: the
words in calls without speech. Bleed: a voice on both channels, and two voices at once. Languages: foreign sentences of
a synthesizer. OCR: the words that were read by eye on real screenshots; also turned, without a background, and few
words on a large screen. Screens and pages: screenshots asked for by their captions, help pages by their titles.

The data come out of public packages and are kept beside the models (:mod:`benchmarks.accuracy.corpora`). Ends with 1
when an aim is missed.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache, reduce
from operator import add

import structlog

from benchmarks.accuracy import corpora, finding, odd_inputs, sounds, speech
from benchmarks.accuracy.detectors import SILERO, WEBRTC, detector
from benchmarks.accuracy.row import Row
from benchmarks.accuracy.score import NONE, Errors, recall_at
from benchmarks.machine import describe
from mmplatform.derive.media.audio import SAMPLE_RATE
from mmplatform.pipeline.factories import open_embedder
from mmplatform.ports import Audio
from mmplatform.settings import Settings, load

SEED = 20260801
MAX_POINTS = 2.0
PARTS = (
    *("speech", "joined", "telephone", "bleed", "languages", "silence", "noise", "music"),
    *("ocr", "sparse", "turned", "transparent", "pages", "screens"),
)


def hearing(models: speech.Hearing) -> Iterator[Row]:
    """Word error rates, each recording a call of its own."""
    recordings = corpora.speech()
    by_source: dict[str, list[tuple[Errors, Errors]]] = {}
    for recording in recordings:
        pair = speech.compare(models, speech.read(recording.path), recording.text)
        by_source.setdefault(recording.source, []).append(pair)
    for source, pairs in sorted(by_source.items()):
        yield _heard(f"speech: {source}", pairs, judged=False)
    pairs = [pair for pairs_of_source in by_source.values() for pair in pairs_of_source]
    yield _heard(f"speech: all {len(recordings)}, each a call of its own", pairs)


def hearing_one(models: speech.Hearing, line: Callable[[Audio], Audio], what: str) -> Iterator[Row]:
    """Word error rates of all recordings in one call, with pauses between them."""
    recordings = corpora.speech()
    joined = speech.in_one([speech.read(recording.path) for recording in recordings], SEED)
    pair = speech.compare(models, line(joined), speech.texts_of(recordings))
    yield _heard(f"speech: all in one call of {joined.size / SAMPLE_RATE:.0f} s{what}", [pair])


def _heard(what: str, pairs: list[tuple[Errors, Errors]], *, judged: bool = True) -> Row:
    live = reduce(add, (pair[0] for pair in pairs), NONE)
    total = reduce(add, (pair[1] for pair in pairs), NONE)
    parts = f"{live.wrong} wrong, {live.missed} missed, {live.invented} invented"
    figures = f"live {live.rate:.1f} %, whole {total.rate:.1f} % (live: {parts})"
    aim = f"at most {MAX_POINTS:g} points more" if judged else ""
    return Row(what, f"{live.words} words", figures, aim, live.rate - total.rate <= MAX_POINTS if judged else None)


def invented_words(
    models: speech.Hearing, make: Callable[[float, int], Audio], minutes: float, seed: int
) -> Iterator[Row]:
    """Words in the transcript of audio without speech."""
    transcripts = models.live(make(minutes * 60, seed))
    for utterance in transcripts:
        print(f"invented in {make.__name__} at {utterance.start_s:.1f} s: {utterance.text!r}", flush=True)
    words = sum(len(utterance.text.split()) for utterance in transcripts)
    yield Row(f"invented in {make.__name__}", f"{minutes:g} minutes", f"{words} words", "0", words == 0)


def reading(settings: Settings) -> Iterator[Row]:
    """Words of OCR."""
    found = finding.ocr_recall(corpora.screens(), settings)
    read, expected = (sum(pair[side] for pair in found.values()) for side in (0, 1))
    worst, (worst_read, worst_expected) = min(found.items(), key=lambda item: item[1][0] / item[1][1])
    figures = f"recall {read / expected:.3f} (minimum {worst_read / worst_expected:.3f}: {worst})"
    yield Row("reads on screenshots", f"{expected} words on {len(found)}", figures)


def finding_screens(settings: Settings, limit: int) -> Iterator[Row]:
    """Screenshots by their captions."""
    screens = corpora.screens()
    chosen = sorted(random.Random(SEED).sample(screens, min(limit, len(screens))), key=lambda screen: screen.name)
    ranks = finding.screenshot_ranks(chosen, settings, open_embedder(settings))
    yield Row("finds screenshots by their captions", f"{len(chosen)} of {len(screens)}", _recall(ranks))


def finding_pages(settings: Settings) -> Iterator[Row]:
    """Help pages by their titles."""
    pages = corpora.pages()
    ranks = finding.page_ranks(pages, settings, open_embedder(settings))
    yield Row("finds help pages by their titles", str(len(pages)), _recall(ranks))


def _recall(ranks: list[int | None]) -> str:
    return ", ".join(f"recall@{k} {recall_at(ranks, k):.2f}" for k in (1, 5, 10)) + f" (by chance {1 / len(ranks):.3f})"


def _parts(settings: Settings, minutes: float, screens: int, seed: int) -> dict[str, Callable[[], Iterator[Row]]]:
    models = cache(lambda: speech.Hearing(settings))
    return {
        "speech": lambda: hearing(models()),
        "joined": lambda: hearing_one(models(), lambda audio: audio, ""),
        "telephone": lambda: hearing_one(models(), speech.telephone, ", over a telephone"),
        "bleed": lambda: odd_inputs.bleeding(models(), SEED),
        "languages": lambda: odd_inputs.foreign(models(), SEED),
        "silence": lambda: invented_words(models(), sounds.silence, minutes, seed),
        "noise": lambda: invented_words(models(), sounds.noise, minutes, seed),
        "music": lambda: invented_words(models(), sounds.music, minutes, seed),
        "ocr": lambda: reading(settings),
        "sparse": lambda: odd_inputs.sparse(settings, seed),
        "turned": lambda: odd_inputs.turned(settings),
        "transparent": lambda: odd_inputs.transparent(settings),
        "pages": lambda: finding_pages(settings),
        "screens": lambda: finding_screens(settings, screens),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="of silence, of noise, and of music")
    parser.add_argument("--screens", type=int, default=200, help="how many of the screenshots, drawn from a seed")
    parser.add_argument("--seed", type=int, default=SEED, help="of silence, noise, music and sparse screens")
    parser.add_argument("--only", default=",".join(PARTS), help="some of these, in any order")
    parser.add_argument("--vad", choices=(WEBRTC, SILERO), default=WEBRTC, help="detector of speech in calls")
    parser.add_argument("--vad-threshold", type=float, default=0.5, help="of silero: probability of speech, 0 to 1")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    settings = load()
    print(
        f"machine: {describe()}\nmodels: {settings.asr_model}, {settings.embedding_model}, seed {arguments.seed}",
        flush=True,
    )
    wanted = set(arguments.only.split(","))
    parts = _parts(settings, arguments.minutes, arguments.screens, arguments.seed)
    rows: list[Row] = []
    for name in [name for name in PARTS if name in wanted]:
        started = time.monotonic()
        try:
            with detector(arguments.vad, arguments.vad_threshold):
                rows += parts[name]()
        except corpora.Absent as absent:
            print(f"{name}: {absent}", file=sys.stderr)
            rows.append(Row(name, "", "its data is not on this machine", "", reached=False))
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
    print("\n| what | of | figures | aim |\n|---|---|---|---|")
    print("\n".join(map(str, rows)))
    sys.exit(any(row.reached is False for row in rows))


if __name__ == "__main__":
    main()
