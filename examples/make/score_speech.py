"""How well a speech model understands the sample call: the word error rate, utterance by utterance.

    python -m examples.make.score_speech MODEL_DIRECTORY

MODEL_DIRECTORY holds a faster-whisper model. Numbers count as the same whether written in words or digits.
"""

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from examples.make.speech import read_audio

RATE = 16_000
PAD_S = 0.2
CASE = Path(__file__).parents[1] / "payment-failed"


def normalise(text: str) -> str:
    """Lower case, no punctuation, number words as digits, each digit a word of its own."""
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    numbers_as_digits: Callable[[str], str] = EnglishTextNormalizer({})  # type: ignore[no-untyped-call]
    joined = re.sub(r"(?<=\d)[-.,) ]+(?=\d{3,4}\b)", "", text)
    return " ".join(re.sub(r"(\d)", r" \1 ", numbers_as_digits(joined)).split())


def main() -> None:
    """Prints what was heard of each utterance, and the error rates."""
    import jiwer
    from faster_whisper import WhisperModel

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    model = WhisperModel(str(parser.parse_args().model), device="cpu", compute_type="int8", cpu_threads=1)
    truth = json.loads((CASE / "ground_truth.json").read_text("utf-8"))["call"]
    _, sides = read_audio(CASE / truth["file"], RATE)
    said: list[str] = []
    heard: list[str] = []
    for spoken in truth["utterances"]:
        first, last = (spoken["start_s"] - PAD_S) * RATE, (spoken["end_s"] + PAD_S) * RATE
        audio = sides[spoken["channel"]][max(0, round(first)) : round(last)].astype(np.float32) / 32768
        segments, _ = model.transcribe(audio, beam_size=1, language="en")
        text = " ".join(segment.text.strip() for segment in segments)
        said.append(normalise(spoken["text"]))
        heard.append(normalise(text))
        print(f"{100 * jiwer.wer(said[-1], heard[-1]):5.1f}%  {spoken['role']:8}  {text}")
    print(f"all utterances: WER {100 * jiwer.wer(said, heard):.1f}%")


if __name__ == "__main__":
    main()
