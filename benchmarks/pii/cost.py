"""Processor time of the steps of redaction, on ordinary support chats."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from examples.make.others import other_chats
from mmplatform.derive.adapters.model_files import locate_model
from mmplatform.derive.pii.foreign_number_words import foreign_words_to_digits
from mmplatform.derive.pii.markup import without_markup
from mmplatform.derive.pii.name_lists import ordinary_words
from mmplatform.derive.pii.name_models import load_name_model
from mmplatform.derive.pii.names import find_names_by_rule, may_hold_name
from mmplatform.derive.pii.normalise import to_plain, words_to_digits
from mmplatform.derive.pii.tables import with_headers
from mmplatform.pipeline.factories import open_language_detector
from mmplatform.ports import Redactor
from mmplatform.settings import Settings

MAX_COST_MS: Final = 1.5
_ROUNDS: Final = 5
_ALL: Final = "all steps"


def ordinary_costs_us(redactor: Redactor, settings: Settings) -> dict[str, float]:
    """Measure each step: the smallest mean of a few rounds, because other work disturbs it."""
    texts = [str(chat["text"]) for chat in other_chats()]
    costs = {step: _smallest_mean_us(run, texts) for step, run in _steps(texts, settings).items()}
    total = _smallest_mean_us(lambda: redactor.redact(texts), texts)
    return costs | {"finders, and Presidio around them": total - sum(costs.values()), _ALL: total}


def cost_table(costs: dict[str, float]) -> str:
    """Table of the steps, with the aim."""
    rows = [f"| {step} | {cost:.0f} |" for step, cost in costs.items()]
    head = ["| step of an ordinary chat | processor, µs |", "|---|---|"]
    return "\n".join([*head, *rows, f"\naim: {MAX_COST_MS * 1000:.0f} µs for {_ALL}"])


def _steps(texts: Sequence[str], settings: Settings) -> dict[str, Callable[[], object]]:
    words, detector = ordinary_words(), open_language_detector(settings)
    model = load_name_model(locate_model(settings.ner_model, settings.models_path))
    doubtful = [
        text for text in texts if may_hold_name(text, find_names_by_rule(text, words), words, uncased=model.uncased)
    ]
    return {
        "names by rule": lambda: [find_names_by_rule(text, words) for text in texts],
        f"names model, on {len(doubtful)} of {len(texts)} chats": lambda: model.read(doubtful),
        "number words": lambda: [words_to_digits(to_plain(text)) for text in texts],
        "number words of other languages": lambda: [foreign_words_to_digits(to_plain(text)) for text in texts],
        "markup": lambda: [without_markup(text) for text in texts],
        "tables": lambda: [with_headers(text) for text in texts],
        "language": lambda: [detector.detect(text) for text in texts],
    }


def _smallest_mean_us(run: Callable[[], object], texts: Sequence[str]) -> float:
    means = []
    for _ in range(_ROUNDS):
        started_s = time.process_time()
        run()
        means.append((time.process_time() - started_s) / len(texts) * 1e6)
    return min(means)
