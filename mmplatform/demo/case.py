"""The sample case of ``examples/``, with the ids of one run of the demo.

The case is sent in time-lapse: an hour of events within seconds, each with its time of sending as event time, so that
the gaps shown are real. Each run has its own customer (the run's name is appended to the ids): a second run neither
collides with the first nor gets its passages as answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mmplatform.errors import Misconfigured

_OVERLAP_S: Final = 0.5
_MIN_SECRET_LENGTH: Final = 7
"""Letters or digits, as of a phone number without its area code; fewer would match in any text."""


@dataclass(frozen=True, slots=True)
class DemoMessage:
    """A chat message of the case."""

    event_id: str
    conversation_id: str
    subject_id: str
    offset_s: float
    role: str
    text: str


@dataclass(frozen=True, slots=True)
class DemoScreenshot:
    """A screenshot of the case."""

    event_id: str
    conversation_id: str
    subject_id: str
    offset_s: float
    path: Path
    media_type: str


@dataclass(frozen=True, slots=True)
class DemoCall:
    """The call of the case; ``question_at_s`` is the second at which the first question is asked."""

    call_id: str
    subject_id: str
    path: Path
    speakers: tuple[str, ...]
    question_at_s: float


@dataclass(frozen=True, slots=True)
class DemoQuestion:
    """A question with its expected sources.

    Attributes:
        event_ids: chats and screenshots.
        spans: stretches of the call, in seconds.
    """

    text: str
    event_ids: frozenset[str]
    spans: tuple[tuple[float, float], ...]

    def expects(self, hit: dict[str, Any]) -> bool:
        """True for a hit of an expected source: the same event, or speech that overlaps by half a second."""
        if hit["modality"] != "call":
            return bool(self.event_ids.intersection(hit["event_ids"]))
        locator = hit["locator"]
        return any(
            min(locator["end_s"], end) - max(locator["start_s"], start) > _OVERLAP_S for start, end in self.spans
        )


@dataclass(frozen=True, slots=True)
class Case:
    """The case of one run.

    Attributes:
        story: chats and screenshots of the customer, in their order.
        others: messages of other customers, which search has to separate.
        secrets: personal data of the story that no search may return.
    """

    title: str
    customer: str
    subject_id: str
    story: tuple[DemoMessage | DemoScreenshot, ...]
    call: DemoCall
    others: tuple[DemoMessage, ...]
    questions: tuple[DemoQuestion, ...]
    secrets: tuple[str, ...]


def load_case(folder: Path, run: str) -> Case:
    """Read the case for one run.

    Args:
        folder: ``examples/payment-failed`` or a folder of the same shape.
        run: the run's name; letters and digits.

    Raises:
        Misconfigured: there is no case in the folder.
    """
    try:
        description = json.loads((folder / "case.json").read_text(encoding="utf-8"))
        lines = tuple(_lines(folder / description["chat"]["file"], run))
        others = tuple(_lines(folder.parent / "others.jsonl", run))
        questions = json.loads((folder / "questions.json").read_text(encoding="utf-8"))
        truth = json.loads((folder / "ground_truth.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise Misconfigured(
            f"no case in {folder}: {error.filename} is missing; "
            "give --case the folder examples/payment-failed of the repository"
        ) from None
    pictures = tuple(_picture(folder, row, run) for row in description["screenshots"])
    call = description["call"]
    return Case(
        title=description["title"],
        customer=description["customer"],
        subject_id=f"{description['subject_id']}-{run}",
        story=tuple(sorted((*lines, *pictures), key=lambda event: event.offset_s)),
        call=DemoCall(
            f"{call['call_id']}-{run}",
            f"{call['subject_id']}-{run}",
            folder / call["file"],
            tuple(call["speakers"]),
            call["ask_at_s"],
        ),
        others=others,
        questions=tuple(_question(row, truth, run) for row in questions),
        secrets=tuple(form for forms in description["pii"].values() for form in forms),
    )


def contains_secret(text: str, secret: str) -> bool:
    """True when a text contains a secret in any spelling: only letters, or only digits, are compared."""
    for kind in (str.isdigit, str.isalpha):
        wanted, found = ("".join(filter(kind, value.casefold())) for value in (secret, text))
        if len(wanted) >= _MIN_SECRET_LENGTH and wanted in found:
            return True
    return False


def _question(row: dict[str, Any], truth: dict[str, Any], run: str) -> DemoQuestion:
    expected = {source for sources in row["expected"].values() for source in sources}
    spans = tuple(
        (utterance["start_s"], utterance["end_s"])
        for utterance in truth["call"]["utterances"]
        if utterance["id"] in expected
    )
    return DemoQuestion(row["question"], frozenset(f"{source}-{run}" for source in expected), spans)


def _lines(path: Path, run: str) -> Iterator[DemoMessage]:
    for text in path.read_text(encoding="utf-8").splitlines():
        row: dict[str, Any] = json.loads(text)
        yield DemoMessage(
            f"{row['event_id']}-{run}",
            f"{row['conversation_id']}-{run}",
            f"{row['subject_id']}-{run}",
            row["offset_s"],
            row["role"],
            row["text"],
        )


def _picture(folder: Path, row: dict[str, Any], run: str) -> DemoScreenshot:
    return DemoScreenshot(
        f"{row['event_id']}-{run}",
        f"{row['conversation_id']}-{run}",
        f"{row['subject_id']}-{run}",
        row["offset_s"],
        folder / row["file"],
        row["media_type"],
    )
