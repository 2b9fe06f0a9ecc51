"""The spoken set: sentences by a synthesizer, written down by the speech recogniser of the product.

Labels are found in the transcript: the words of the sentence around a value are known, and what the recogniser wrote
between them is the value. A value of which it wrote nothing was not heard, and does not count.
"""

from __future__ import annotations

import re
import shutil
import string
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path
from random import Random
from typing import Final

from benchmarks.accuracy.corpora import Absent
from benchmarks.pii.rendered import cached_json
from benchmarks.pii.samples import Piece, Sample, join
from benchmarks.pii.spoken_forms import HARMLESS, NUMBER_WORDS, SENTENCES, spoken_value
from mmplatform.derive.media.audio import decode
from mmplatform.pipeline.factories import open_transcriber
from mmplatform.ports import Transcriber
from mmplatform.settings import Settings

DEFAULT_SIZE: Final = 284
_VOICES: Final = ("slt", "rms")
_HARMLESS_SHARE: Final = 0.15
_TOKEN: Final = re.compile(r"\S+")
_FILLERS: Final = frozenset({"and", "the", "dot", "dash", "hyphen", "comma"})
_WORDED: Final = frozenset({"EMAIL", "PERSON", "ADDRESS", "BIRTH_DATE"})
"""Entities that are more than a number."""
_MIN_WORD_CHARS: Final = 3


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence around a spoken value; ``entity`` is empty where there is none."""

    before: str
    value: str
    after: str
    entity: str
    voice: str


def sentences(size: int, seed: int) -> list[Sentence]:
    """Build sentences of each group in turn, the harmless ones last."""
    random = Random(seed)
    harmless = max(1, round(size * _HARMLESS_SHARE))
    built = []
    for number in range(size - harmless):
        turn, group = divmod(number, len(SENTENCES))
        templates = SENTENCES[group]
        built.append(_filled(templates[turn % len(templates)], number, random))
    return built + [
        Sentence(HARMLESS[number % len(HARMLESS)], "", "", "", _VOICES[number % 2]) for number in range(harmless)
    ]


def spoken_samples(size: int, seed: int, settings: Settings) -> list[Sample]:
    """Speak and transcribe sentences; those whose value was not heard are left out.

    Raises:
        Absent: the synthesizer is not installed.
    """
    if shutil.which("flite") is None:
        raise Absent("install the synthesizer flite: `apt-get install flite`")
    transcribe = cache(lambda: open_transcriber(settings))
    samples = []
    for sentence in sentences(size, seed):
        text = " ".join(part for part in (sentence.before, sentence.value, sentence.after) if part)
        key = f"{settings.asr_model} {settings.asr_beam_size} {sentence.voice} {text}"
        transcript = cached_json("spoken", key, lambda: _transcript(transcribe(), text, sentence.voice))  # noqa: B023
        sample = label_transcript(transcript, sentence)
        if sample is not None:
            samples.append(sample)
    return samples


def label_transcript(transcript: str, sentence: Sentence) -> Sample | None:
    """Label the value in a transcript; None when nothing of it was heard."""
    tokens = [(match.start(), match.end()) for match in _TOKEN.finditer(transcript)]
    words = [_bare(transcript[start:end]) for start, end in tokens]
    if not sentence.entity:
        return join([Piece(transcript)], style="spoken", language="en", unseen=False)
    first = _matched(words, sentence.before)[1]
    last = first + _matched(words[first:], sentence.after)[0] if sentence.after else len(words)
    pieces, copied_to = [], 0
    for start, end in _sensitive(transcript, tokens[first:last], sentence):
        pieces += [Piece(transcript[copied_to:start]), Piece(transcript[start:end], sentence.entity, 1)]
        copied_to = end
    if not pieces:
        return None
    return join([*pieces, Piece(transcript[copied_to:])], style="spoken", language="en", unseen=False)


def _sensitive(transcript: str, tokens: Sequence[tuple[int, int]], sentence: Sentence) -> list[tuple[int, int]]:
    """Spans of what identifies in a heard value: digits and number words, and words where the value has any."""
    spans = []
    for start, end in tokens:
        word = _bare(transcript[start:end])
        digits = [index for index in range(start, end) if transcript[index].isdigit()]
        if sentence.entity in _WORDED and word not in _FILLERS and (digits or len(word) >= _MIN_WORD_CHARS):
            spans.append((start, end))
        elif digits:
            spans.append((digits[0], digits[-1] + 1))
        elif word in NUMBER_WORDS:
            spans.append((start, end))
    # A word behind a name that was heard wrong ("Klawling" for "calling") is no part of it.
    return spans[: len(sentence.value.split())] if sentence.entity == "PERSON" else spans


def _filled(template: str, number: int, random: Random) -> Sentence:
    [(before, slot, _, _), *rest] = string.Formatter().parse(template)
    assert slot is not None
    after = rest[0][0].strip() if rest else ""
    return Sentence(
        before.strip(),
        spoken_value(slot, random),
        after,
        slot.upper(),
        _VOICES[number // len(SENTENCES) % len(_VOICES)],
    )


def _matched(words: list[str], expected: str) -> tuple[int, int]:
    """Find the first and the end of the words of a sentence that were heard in these words."""
    blocks = SequenceMatcher(None, words, [_bare(word) for word in expected.split()], autojunk=False)
    found = [block for block in blocks.get_matching_blocks() if block.size]
    return (found[0].a, found[-1].a + found[-1].size) if found else (len(words), 0)


def _bare(word: str) -> str:
    return "".join(letter for letter in word.lower() if letter.isalnum())


def _transcript(transcriber: Transcriber, text: str, voice: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "speech.wav"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(wav)], check=True, timeout=60)
        audio = decode(wav.read_bytes(), "audio/wav").mean(axis=0)
    return " ".join(segment.text for segment in transcriber.transcribe(audio))
