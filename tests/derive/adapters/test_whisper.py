"""Speech to text with the real model: speech has its words, and other sounds have none."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import jiwer
import numpy as np
import pytest

from examples.make.score_speech import normalise
from mmplatform.artifacts import Passage, Utterance
from mmplatform.derive.adapters.model_files import locate_model
from mmplatform.derive.adapters.whisper import HallucinationFilter, WhisperTranscriber
from mmplatform.derive.call.deriver import CallDeriver
from mmplatform.derive.media.audio import decode, split
from mmplatform.errors import Misconfigured
from mmplatform.events import Arrival, Position
from mmplatform.land.blobs.file_store import FileBlobs
from mmplatform.memo import MemoryMemo
from mmplatform.ports import Segment, SpokenWord
from mmplatform.settings import load
from tests.builders import NOW, call_end, chunk

RATE = 16_000
CASE = Path(__file__).parents[3] / "examples" / "payment-failed"
NOISES = np.random.default_rng(3)


def segment(**change) -> Segment:
    fields = {
        "start_s": 0.0,
        "end_s": 1.0,
        "text": "the payment failed",
        "words": tuple(SpokenWord(0.0, 1.0, word, 0.8) for word in ("the", "payment", "failed")),
        "no_speech": 0.1,
        "mean_log_probability": -0.4,
        "compression_ratio": 1.1,
        "language": "en",
    }
    return Segment(**fields | change)


@pytest.mark.parametrize(
    "measured",
    [
        {"no_speech": 0.51, "mean_log_probability": -0.71},
        {"no_speech": 0.37, "mean_log_probability": -1.14},
        {"no_speech": 0.13, "mean_log_probability": -1.0},
        {"start_s": 0.0, "end_s": 0.6},
        {"start_s": 0.0, "end_s": 0.0, "words": (SpokenWord(0.0, 0.0, "Yes", 0.8),)},
    ],
)
def test_the_most_doubtful_segments_of_real_speech_are_accepted(measured):
    assert HallucinationFilter().accepts(segment(**measured))


def test_a_clear_segment_is_accepted():
    assert HallucinationFilter().accepts(segment())


# Each was invented by Whisper base or tiny over noise, clicks or tones.
@pytest.mark.parametrize(
    "doubts",
    [
        {"no_speech": 0.72, "mean_log_probability": -0.28, "compression_ratio": 10.5},
        {"no_speech": 0.61, "mean_log_probability": -0.66, "compression_ratio": 2.2},
        {"no_speech": 0.88, "mean_log_probability": -0.13},
        {"no_speech": 0.43, "mean_log_probability": -0.9, "compression_ratio": 1.9},  # music
        {"no_speech": 0.1, "mean_log_probability": -1.6},
        {"words": (SpokenWord(0.0, 0.9, "You", 0.02),)},
        {"words": ()},
        {"start_s": 0.0, "end_s": 0.3},  # three words, over music
        {"text": " . "},
    ],
)
def test_a_doubtful_segment_is_dropped(doubts):
    assert not HallucinationFilter().accepts(segment(**doubts))


def test_a_directory_without_a_model_is_refused(tmp_path):
    with pytest.raises(Misconfigured, match=r"model\.bin"):
        WhisperTranscriber(tmp_path)


@pytest.fixture(scope="module")
def whisper() -> WhisperTranscriber:
    options = load()
    return WhisperTranscriber(locate_model(options.asr_model, options.models_path))


def pink(size: int) -> np.ndarray:
    frequency = np.maximum(np.fft.rfftfreq(size), 1 / size)
    spectrum = (NOISES.normal(size=frequency.size) + 1j * NOISES.normal(size=frequency.size)) / np.sqrt(frequency)
    noise = np.fft.irfft(spectrum, size)
    return noise / noise.std()


def tones(seconds: float, *frequencies: float, harmonics: int = 1) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    return sum(np.sin(2 * np.pi * f * k * t) / k for f in frequencies for k in range(1, harmonics + 1))


def melody(seconds: float) -> np.ndarray:
    """Plucked chords, two in a second."""
    chords = [(261.6, 329.6, 392.0), (220.0, 261.6, 329.6), (174.6, 220.0, 261.6), (196.0, 246.9, 293.7)]
    fading = np.exp(-3 * np.arange(RATE // 2) / RATE)
    return np.concatenate([tones(0.5, *chords[n // 4 % 4], harmonics=4) * fading for n in range(round(seconds * 2))])


def swelling(seconds: float) -> np.ndarray:
    return 0.5 + 0.5 * np.sin(2 * np.pi * 4 * np.arange(round(seconds * RATE)) / RATE)


NO_SPEECH = {
    "silence": np.zeros(4 * RATE),
    "a quiet line": 2e-3 * NOISES.normal(size=4 * RATE),
    "white noise": 0.1 * NOISES.normal(size=4 * RATE),
    "long white noise": 0.05 * NOISES.normal(size=15 * RATE),
    "pink noise": 0.2 * pink(4 * RATE),
    "noise in the rhythm of syllables": 0.1 * pink(5 * RATE) * swelling(5),
    "a tone": 0.3 * tones(4, 440),
    "a dial tone": 0.2 * tones(10, 350, 440),
    "ringing": 0.2 * tones(12, 440, 480) * (np.arange(12 * RATE) % (4 * RATE) < RATE),
    "mains hum": 0.1 * tones(4, 50, harmonics=8),
    "a buzzer in the rhythm of syllables": 0.1 * tones(5, 120, harmonics=20) * swelling(5),
    "a held chord": 0.1 * tones(15, 261.6, 329.6, 392.0, harmonics=4),
    "music": 0.1 * melody(12),
    "clicks": 0.5 * (np.arange(4 * RATE) % 8000 < 30),
}


@pytest.mark.models
@pytest.mark.parametrize("language", [None, "en"])
@pytest.mark.parametrize("what", NO_SPEECH)
def test_a_sound_without_speech_has_no_words(whisper, what, language):
    assert whisper.transcribe(NO_SPEECH[what].astype(np.float32), language=language) == []


@pytest.fixture(scope="module")
def truth():
    return json.loads((CASE / "ground_truth.json").read_text("utf-8"))["call"]


@pytest.fixture(scope="module")
def sides():
    return decode((CASE / "call.flac").read_bytes(), "audio/flac")


def reference_text(truth, channel: int) -> str:
    return normalise(" ".join(u["text"] for u in truth["utterances"] if u["channel"] == channel))


@pytest.mark.models
def test_the_warm_up_encodes_a_second_and_not_the_whole_window(whisper, monkeypatch):
    shapes = []
    run_encoder = whisper._run_encoder

    def watch(features):
        shapes.append(features.shape)
        return run_encoder(features)

    monkeypatch.setattr(whisper, "_run_encoder", watch)
    whisper.warm_up()
    assert shapes == [(80, 100)]


@pytest.mark.models
def test_words_have_times_and_the_encoder_runs_once(whisper, truth, sides, monkeypatch):
    first = truth["utterances"][0]
    encoder_runs = []
    run_encoder = whisper._run_encoder
    monkeypatch.setattr(whisper, "_run_encoder", lambda features: encoder_runs.append(1) or run_encoder(features))
    start_s = first["start_s"] - 0.4
    audio = sides[first["channel"]][round(start_s * RATE) : round((first["end_s"] + 0.4) * RATE)]
    heard = whisper.transcribe(audio)
    assert len(encoder_runs) == 1
    assert {each.language for each in heard} == {"en"}
    words = [word for each in heard for word in each.words]
    assert jiwer.wer(normalise(first["text"]), normalise(" ".join(word.text for word in words))) < 0.15
    assert all(a.start_s <= b.start_s for a, b in pairwise(words))
    assert words[0].start_s + start_s == pytest.approx(first["start_s"], abs=0.4)
    assert words[-1].end_s + start_s == pytest.approx(first["end_s"], abs=0.4)
    assert whisper.transcribe(audio) == heard


@pytest.mark.models
@pytest.mark.slow
def test_a_live_call_is_transcribed_as_well_as_its_recording_and_shows_no_number(
    whisper, truth, sides, embedder, redactor, tmp_path
):
    blobs = FileBlobs(tmp_path)
    deriver = CallDeriver(whisper, embedder, redactor, MemoryMemo(), blobs, gap_timeout_s=3.0)
    state, found = None, {}
    events = [
        chunk(
            n,
            start_s=start_s,
            duration_s=(len(wav) - 44) / 4 / 8000,
            channels=2,
            speakers=("agent", "customer"),
            blob=blobs.put(wav, media_type="audio/wav"),
            event_time=NOW + timedelta(seconds=n + 1),
            ingested_at=NOW + timedelta(seconds=n + 1),
        )
        for n, start_s, wav in split(CASE / "call.flac", 1.0)
    ]
    for offset, event in enumerate([*events, call_end(chunks=len(events))]):
        arrival = Arrival(event, Position(topic="t", topic_partition=0, offset=offset))
        state, derived = deriver.advance(state, arrival)
        assert derived.quarantined == ()
        found |= {a.artifact_id: a for a in derived.artifacts}
    said = sorted((a for a in found.values() if isinstance(a, Utterance)), key=lambda a: a.start_s)
    assert {(a.channel, a.speaker) for a in said} == {(0, "agent"), (1, "customer")}

    # The agent's side holds nothing to redact: streamed and whole are compared word for word.
    wanted = reference_text(truth, 0)
    live = jiwer.wer(wanted, normalise(" ".join(a.text for a in said if a.channel == 0)))
    whole = jiwer.wer(wanted, normalise(" ".join(s.text for s in whisper.transcribe(sides[0]))))
    assert live <= max(whole + 0.02, 0.06)
    texts = " ".join(a.text for a in said if a.channel == 1)
    assert "failed three times" in texts.lower()
    for text in (a.text for a in found.values() if isinstance(a, Utterance | Passage)):
        assert "555" not in text
        assert "five five five" not in text.lower()


FOREIGN = {
    "es": "Buenos días, no puedo pagar mi pedido porque la tarjeta ha sido rechazada tres veces.",
    "de": "Guten Tag, ich kann meine Bestellung nicht bezahlen, weil die Karte dreimal abgelehnt wurde.",
    "fr": "Bonjour, je ne peux pas payer ma commande parce que la carte a été refusée trois fois.",
    "it": "Buongiorno, non posso pagare il mio ordine perché la carta è stata rifiutata tre volte.",
}


def spoken_by_machine(language: str, text: str) -> np.ndarray:
    """Speak a sentence by Debian's espeak-ng: clear enough to detect its language."""
    espeak = shutil.which("espeak-ng")
    if espeak is None:
        pytest.skip("espeak-ng is not installed: apt-get install espeak-ng")
    spoken = subprocess.run([espeak, "-v", language, "-s", "140", "--stdout", text], capture_output=True, check=True)
    return decode(spoken.stdout, "audio/wav")[0]


@pytest.fixture(scope="module")
def expecting_english() -> WhisperTranscriber:
    options = load()
    return WhisperTranscriber(locate_model(options.asr_model, options.models_path), language="en")


@pytest.mark.models
@pytest.mark.parametrize("language", FOREIGN)
def test_speech_in_another_language_than_the_expected_one_is_transcribed_in_its_own(expecting_english, language):
    segments = expecting_english.transcribe(spoken_by_machine(language, FOREIGN[language]))
    assert {segment.language for segment in segments} == {language}
    assert all(segment.language_probability >= 0.6 for segment in segments)
    heard = normalise(" ".join(segment.text for segment in segments)).split()
    wanted = normalise(FOREIGN[language]).split()
    assert sum(word in heard for word in wanted) >= len(wanted) / 3


# Each was written as English words, or as those of a third language.
UNCLEAR = {
    "de": "Bitte schicken Sie mir eine neue Rechnung an meine Adresse in Hamburg.",
    "nl": "Gisteravond heeft de bank het bedrag toch van mijn rekening afgeschreven.",
    "pt": "Muito obrigado pela sua ajuda, muito obrigado.",
    "da": "Goddag, jeg kan ikke betale min ordre, fordi kortet er blevet afvist tre gange.",
    "tr": "İyi günler, siparişimi ödeyemiyorum çünkü kart üç kez reddedildi.",
    "hu": "Jó napot, nem tudom kifizetni a rendelésemet, mert a kártyát háromszor elutasították.",
}


@pytest.mark.models
@pytest.mark.parametrize("language", UNCLEAR)
def test_speech_whose_language_is_unclear_has_words_of_its_own_or_none(expecting_english, language):
    segments = expecting_english.transcribe(spoken_by_machine(language, UNCLEAR[language]))
    assert segments, "it leaves a row"
    assert {segment.language for segment in segments if segment.words} <= {language}


@pytest.mark.models
@pytest.mark.parametrize("accent", ["en-us", "en-gb-scotland", "en-029"])
def test_english_with_an_accent_stays_english(expecting_english, accent):
    text = "Please send me a new invoice to my address, because the card was declined three times."
    heard = expecting_english.transcribe(spoken_by_machine(accent, text))
    assert {segment.language for segment in heard} == {"en"}
    assert jiwer.wer(normalise(text), normalise(" ".join(segment.text for segment in heard))) <= 0.4


SHORT = {"de": "Ja.", "es": "Sí.", "fr": "Oui.", "it": "Grazie.", "nl": "Nee.", "pt": "Sim.", "ru": "Да."}


@pytest.mark.models
@pytest.mark.parametrize("language", SHORT)
def test_the_shortest_foreign_answer_leaves_a_row(expecting_english, language):
    silence = np.zeros(round(0.4 * RATE), dtype=np.float32)
    audio = np.concatenate([silence, spoken_by_machine(language, SHORT[language]), silence])
    assert len(expecting_english.transcribe(audio.astype(np.float32))) == 1


@pytest.mark.parametrize(
    ("change", "speech"),
    [
        ({"no_speech": 0.1, "mean_log_probability": -1.3, "compression_ratio": 1.2}, True),
        ({"no_speech": 0.5}, False),  # noise
        ({"no_speech": 0.1, "compression_ratio": 9.0}, False),
        ({"no_speech": 0.1, "words": ()}, False),
        ({"no_speech": 0.1, "end_s": 0.2}, False),  # three words in a fifth of a second
        ({"no_speech": 0.1, "mean_log_probability": -1.6}, False),
    ],
)
def test_only_certain_speech_becomes_an_utterance_without_words(change, speech):
    assert HallucinationFilter().is_speech(segment(**change)) is speech


@pytest.mark.models
def test_a_voice_that_is_too_short_for_words_is_a_segment_without_words_and_a_noise_is_none(whisper, truth, sides):
    first = truth["utterances"][0]
    start = round((first["start_s"] + 0.05) * RATE)
    syllable = sides[first["channel"]][start : start + RATE // 5]
    padded = np.concatenate([np.zeros(6_400), syllable, np.zeros(6_400)]).astype(np.float32)
    segments = whisper.transcribe(padded)
    assert len(segments) == 1, "it is a row, with or without words"
    assert segments[0].end_s <= padded.size / RATE
    click = np.zeros(RATE, dtype=np.float32)
    click[RATE // 2 : RATE // 2 + 40] = 0.8
    assert whisper.transcribe(click) == []
