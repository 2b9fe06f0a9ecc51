"""Rows of the table for inputs that are not as they should be: bleed, foreign speech, sparse, turned, transparent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from benchmarks.accuracy import corpora, finding, odd_screens, speech, voices
from benchmarks.accuracy.row import Row
from benchmarks.accuracy.score import Errors, word_errors, word_recall
from examples.make.score_speech import normalise
from mmplatform.artifacts import Utterance
from mmplatform.derive.media.audio import SAMPLE_RATE
from mmplatform.derive.media.image import decode
from mmplatform.pipeline.factories import open_screen_reader
from mmplatform.ports import Audio
from mmplatform.settings import Settings

_GAINS: Final = (0.69, 0.2)
_DELAY: Final = round(0.003 * SAMPLE_RATE)
_CROSSTALK: Final = 0.1
_MAX_BLEED_POINTS: Final = 1.0
_MIN_LONG_S: Final = 3.0
_SPARSE_SCREENS: Final = 24
_MIN_SPARSE_RECALL: Final = 0.95
_MAX_RECALL_LOSS: Final = 0.05


def bleeding(models: speech.Hearing, seed: int) -> Iterator[Row]:
    """Word error rates of stereo calls whose channels hear each other, against the same calls without bleed."""
    recordings = corpora.speech()
    voice = speech.in_one([speech.read(recording.path) for recording in recordings], seed)
    text = speech.texts_of(recordings)
    alone = _errors(text, models.live(np.stack([voice, _quiet(voice, seed)])))
    for gain in _GAINS:
        utterances = models.live(np.asarray([voice, gain * _delayed(voice)], dtype=np.float32))
        second = sum(utterance.channel == 1 for utterance in utterances)
        found = _errors(text, utterances)
        figures = f"{found.rate:.1f} %, without the copy {alone.rate:.1f} %; {second} utterances on the quieter channel"
        reached = not second and found.rate - alone.rate <= _MAX_BLEED_POINTS
        aim = f"no utterance, at most {_MAX_BLEED_POINTS:g} point more"
        yield Row(
            f"bleed: one voice, its copy at {gain:g} of its level 3 ms later",
            f"{found.words} words",
            figures,
            aim,
            reached,
        )
    yield _crosstalk(models, recordings, seed)


def _crosstalk(models: speech.Hearing, recordings: list[corpora.Speech], seed: int) -> Row:
    """Two voices at once, each faintly on the other's channel."""
    halves = [recordings[::2], recordings[1::2]]
    sides = [
        speech.in_one([speech.read(recording.path) for recording in half], seed + n) for n, half in enumerate(halves)
    ]
    size = max(side.size for side in sides)
    clean = np.stack([np.pad(side, (0, size - side.size)) for side in sides])
    bled = clean + _CROSSTALK * np.stack([_delayed(clean[1]), _delayed(clean[0])])
    rates = []
    for channels in (bled, clean):
        utterances = models.live(np.asarray(channels, dtype=np.float32))
        errors = [
            _errors(speech.texts_of(half), [utterance for utterance in utterances if utterance.channel == n])
            for n, half in enumerate(halves)
        ]
        rates.append(errors[0] + errors[1])
    figures = f"{rates[0].rate:.1f} %, without bleed {rates[1].rate:.1f} %"
    return Row(f"bleed: two voices at once, each at {_CROSSTALK:g} on the other", f"{rates[0].words} words", figures)


def _quiet(voice: Audio, seed: int) -> Audio:
    return np.asarray(np.random.default_rng(seed + 1).normal(0, 3e-4, voice.size), dtype=np.float32)


def _delayed(voice: Audio) -> Audio:
    return np.concatenate([np.zeros(_DELAY, dtype=np.float32), voice[:-_DELAY]])


def _errors(text: str, utterances: list[Utterance]) -> Errors:
    return word_errors(normalise(text), normalise(" ".join(utterance.text for utterance in utterances)))


def foreign(models: speech.Hearing, seed: int) -> Iterator[Row]:
    """Sentences of synthesised foreign speech by what became of them, long and short ones."""
    ends: dict[bool, list[str]] = {True: [], False: []}
    for language in voices.SENTENCES:
        audio, sentences = voices.call_in(language, seed)
        utterances = models.live(audio)
        for sentence in sentences:
            end = voices.end_of(sentence, utterances)
            ends[sentence.end_s - sentence.start_s >= _MIN_LONG_S].append(end)
            if end != voices.OWN:
                print(f"{end}: {sentence.language}, {sentence.text!r}", flush=True)
    languages = len(voices.SENTENCES)
    for is_long, found in ends.items():
        counts = Counter(found)
        figures = ", ".join(f"{counts[end]} {end}" for end in voices.ENDS)
        length = f"{'from' if is_long else 'below'} {_MIN_LONG_S:g} s"
        reached = not (counts[voices.ENGLISH] or counts[voices.MISSING]) if is_long else None
        aim = f"0 {voices.ENGLISH}, 0 {voices.MISSING}" if is_long else ""
        yield Row(
            f"foreign speech, sentences {length}", f"{len(found)} of {languages} languages", figures, aim, reached
        )


def sparse(settings: Settings, seed: int) -> Iterator[Row]:
    """Words of OCR on large screens with one word or one small line."""
    reader = open_screen_reader(settings)
    found = {}
    for number, (text, pixels) in enumerate(odd_screens.sparse_screens(_SPARSE_SCREENS, seed)):
        found[f"{number}: {text}"] = word_recall(text, " ".join(line.text for line in reader.read(pixels)))
    read, expected = _sums(found)
    reached = read / expected >= _MIN_SPARSE_RECALL
    what = "reads one word, or a line of 14 px, on 1920 by 1080"
    yield Row(what, _size(found), _recall(found), f"at least {_MIN_SPARSE_RECALL:g}", reached)


def turned(settings: Settings) -> Iterator[Row]:
    """Words of OCR on real screenshots that lie on a side or their head, against upright ones."""
    reader = open_screen_reader(settings)
    transcribed = finding.read_by_eye(corpora.screens())
    recall: dict[int, dict[str, tuple[int, int]]] = {turns: {} for turns in range(4)}
    precision: dict[int, dict[str, tuple[int, int]]] = {turns: {} for turns in range(4)}
    for name, (path, text) in transcribed.items():
        pixels = decode(path.read_bytes(), settings.max_image_pixels)
        for turns in range(4):
            lines = reader.read(np.ascontiguousarray(np.rot90(pixels, turns)))
            read = " ".join(line.text for line in lines)
            recall[turns][name], precision[turns][name] = word_recall(text, read), word_recall(read, text)
    upright = _share(recall[0])
    for turns in (1, 2, 3):
        found = recall[turns]
        figures = f"{_recall(found)}, precision {_share(precision[turns]):.3f} (upright {_share(precision[0]):.3f})"
        aim = f"recall at most {_MAX_RECALL_LOSS:g} below upright ({upright:.3f})"
        reached = upright - _share(found) <= _MAX_RECALL_LOSS
        yield Row(f"reads screenshots turned by {90 * turns}°", _size(found), figures, aim, reached)


def transparent(settings: Settings) -> Iterator[Row]:
    """Words of OCR on real screenshots whose background is transparent."""
    reader = open_screen_reader(settings)
    transcribed = finding.read_by_eye(corpora.screens())
    upright = {name: (path.read_bytes(), text) for name, (path, text) in transcribed.items()}
    opaque = _share({name: finding.recall_of(reader, data, text, settings) for name, (data, text) in upright.items()})
    for kind in odd_screens.TRANSPARENCIES:
        found = {
            name: finding.recall_of(reader, odd_screens.transparent_png(path, kind), text, settings)
            for name, (path, text) in transcribed.items()
        }
        reached = opaque - _share(found) <= _MAX_RECALL_LOSS
        aim = f"at most {_MAX_RECALL_LOSS:g} below opaque ({opaque:.3f})"
        yield Row(f"reads transparent screenshots: {kind}", _size(found), _recall(found), aim, reached)


def _sums(found: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    return sum(read for read, _ in found.values()), sum(expected for _, expected in found.values())


def _share(found: Mapping[str, tuple[int, int]]) -> float:
    read, expected = _sums(found)
    return read / max(expected, 1)


def _size(found: Mapping[str, tuple[int, int]]) -> str:
    return f"{_sums(found)[1]} words on {len(found)}"


def _recall(found: Mapping[str, tuple[int, int]]) -> str:
    worst, (read, expected) = min(found.items(), key=lambda item: item[1][0] / item[1][1])
    return f"recall {_share(found):.3f} (minimum {read / expected:.3f}: {worst})"
