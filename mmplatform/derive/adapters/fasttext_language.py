"""Language of a text by fastText's model lid.176: 176 languages, 20 µs a text.

The model is never sure of one or two words, and it reads the numbers and codes of support talk as words of any
language. So only words count, and a text with few letters has no language.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from mmplatform.derive.adapters.model_files import weights_fingerprint
from mmplatform.errors import Misconfigured
from mmplatform.ports import NO_LANGUAGE, DetectedLanguage

WEIGHTS: Final = "lid.176.ftz"

MIN_CONFIDENCE: Final = 0.6
"""Threshold of the benchmark's 463 templates in 16 languages: 384 get their language, 6 another one, 73 none.

At 0.5 another one it is for 7 of them, at 0.7 for 4, with 94 without a language."""

MIN_LETTERS: Final = 8
"""Fewer letters say little where words have spaces. A Chinese, Japanese, Korean or Thai text needs two."""

_MIN_UNSPACED_LETTERS: Final = 2
_WORD: Final = re.compile(r"[^\W\d_]+(?:['\u2019\-][^\W\d_]+)*")
_UNSPACED: Final = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_LABEL: Final = "__label__"


class FastTextLanguageDetector:
    """Detector on fastText's lid.176."""

    name = "fasttext"

    def __init__(self, directory: Path) -> None:
        """Load the model. Raises Misconfigured: the directory holds no such model."""
        import fasttext

        path = directory / WEIGHTS
        self.version = weights_fingerprint(path)
        try:
            self._model = fasttext.load_model(str(path))
        except (OSError, ValueError) as error:
            raise Misconfigured(
                f"{path} is no model of fastText: run `mmplatform models pull {directory.name}`"
            ) from error

    def detect(self, text: str) -> DetectedLanguage:
        """Detect the language of a text; empty where the model is not sure."""
        words = " ".join(_WORD.findall(text))
        letters = len(words) - words.count(" ")
        if letters < (_MIN_UNSPACED_LETTERS if _UNSPACED.search(words) else MIN_LETTERS):
            return NO_LANGUAGE
        # The model knows texts in small letters: it takes "WHERE IS MY REFUND" for Japanese.
        labels, probabilities = self._model.predict(words.lower() if words.isupper() else words, 1, 0.0, "replace")
        if not labels or probabilities[0] < MIN_CONFIDENCE:
            return NO_LANGUAGE
        return DetectedLanguage(labels[0].removeprefix(_LABEL), round(min(1.0, probabilities[0]), 4))
