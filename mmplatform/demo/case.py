"""The sample case as it lies in ``examples/``, and as one run of the demo tells it.

The case is told in time-lapse: what happened over an hour is sent within seconds, each event with the moment at which
it is sent as its event time, so that the gaps that are shown are real ones. Every run is about a customer of its own
(the run's name is appended to the ids): a second run neither collides with the first nor is answered from its passages.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mmplatform.errors import Misconfigured

_OVERLAP_S: Final = 0.5
_LEAST_SIGNS: Final = 7
"""Of a secret: a phone number without its area code; fewer would be found in any text."""


@dataclass(frozen=True, slots=True)
class Line:
    """A chat message of the case."""

    event_id: str
    conversation_id: str
    subject_id: str
    offset_s: float
    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A screenshot of the case."""

    event_id: str
    conversation_id: str
    subject_id: str
    offset_s: float
    path: Path
    media_type: str


@dataclass(frozen=True, slots=True)
class Recording:
    """The call of the case; ``ask_at_s`` is the second of it at which the copilot is asked for the first time."""

    call_id: str
    subject_id: str
    path: Path
    speakers: tuple[str, ...]
    ask_at_s: float


@dataclass(frozen=True, slots=True)
class Question:
    """A question with the sources that are known to answer it.

    Attributes:
        event_ids: chats and screenshots.
        spans: stretches of the call, in seconds.
    """

    text: str
    event_ids: frozenset[str]
    spans: tuple[tuple[float, float], ...]

    def expects(self, hit: dict[str, Any]) -> bool:
        """Whether a hit is one of the known sources: the same event, or speech that overlaps by half a second."""
        if hit["modality"] != "call":
            return bool(self.event_ids.intersection(hit["event_ids"]))
        place = hit["locator"]
        return any(min(place["end_s"], end) - max(place["start_s"], start) > _OVERLAP_S for start, end in self.spans)


@dataclass(frozen=True, slots=True)
class Case:
    """One telling of the story.

    Attributes:
        story: chats and screenshots of the customer, in the order in which they happened.
        others: what other customers wrote meanwhile; search has to tell them apart.
        secrets: personal data that the story contains and that must never come out of a search.
    """

    title: str
    customer: str
    subject_id: str
    story: tuple[Line | Picture, ...]
    call: Recording
    others: tuple[Line, ...]
    questions: tuple[Question, ...]
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
        told = json.loads((folder / "case.json").read_text(encoding="utf-8"))
        lines = tuple(_lines(folder / told["chat"]["file"], run))
        others = tuple(_lines(folder.parent / "others.jsonl", run))
        questions = json.loads((folder / "questions.json").read_text(encoding="utf-8"))
        truth = json.loads((folder / "ground_truth.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise Misconfigured(
            f"no case in {folder}: {error.filename} is missing; "
            "give --case the folder examples/payment-failed of the repository"
        ) from None
    pictures = tuple(_picture(folder, each, run) for each in told["screenshots"])
    call = told["call"]
    return Case(
        title=told["title"],
        customer=told["customer"],
        subject_id=f"{told['subject_id']}-{run}",
        story=tuple(sorted((*lines, *pictures), key=lambda event: event.offset_s)),
        call=Recording(
            f"{call['call_id']}-{run}",
            f"{call['subject_id']}-{run}",
            folder / call["file"],
            tuple(call["speakers"]),
            call["ask_at_s"],
        ),
        others=others,
        questions=tuple(_question(each, truth, run) for each in questions),
        secrets=tuple(form for forms in told["pii"].values() for form in forms),
    )


def says(text: str, secret: str) -> bool:
    """Whether a text gives a secret away, however it is spelled: only letters, or only digits, are compared."""
    for kind in (str.isdigit, str.isalpha):
        wanted, found = ("".join(filter(kind, each.casefold())) for each in (secret, text))
        if len(wanted) >= _LEAST_SIGNS and wanted in found:
            return True
    return False


def _question(row: dict[str, Any], truth: dict[str, Any], run: str) -> Question:
    expected = {source for sources in row["expected"].values() for source in sources}
    spans = tuple((each["start_s"], each["end_s"]) for each in truth["call"]["utterances"] if each["id"] in expected)
    return Question(row["question"], frozenset(f"{source}-{run}" for source in expected), spans)


def _lines(path: Path, run: str) -> Iterator[Line]:
    for text in path.read_text(encoding="utf-8").splitlines():
        row: dict[str, Any] = json.loads(text)
        yield Line(
            f"{row['event_id']}-{run}",
            f"{row['conversation_id']}-{run}",
            f"{row['subject_id']}-{run}",
            row["offset_s"],
            row["role"],
            row["text"],
        )


def _picture(folder: Path, row: dict[str, Any], run: str) -> Picture:
    return Picture(
        f"{row['event_id']}-{run}",
        f"{row['conversation_id']}-{run}",
        f"{row['subject_id']}-{run}",
        row["offset_s"],
        folder / row["file"],
        row["media_type"],
    )
