"""Joint reading of the messages of one speaker: a value that is spread over several leaves each of them.

``my card is 4111 1111`` and ``1111 1111`` are two messages, and neither looks like a card. So a message is also read
together with its neighbours where a value may go on from one to the next. What only a joint reading finds is kept
with the message, as positions in its text: a repetition or a run finds it again without its neighbours. Whatever was
found is never taken back while the text stays.

A neighbour that was published before is derived again, with the position of the message that gave it away. That is the
rule of calls too (:mod:`mmplatform.derive.call.redaction`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from mmplatform.derive.chat_changes import present_message, to_position
from mmplatform.derive.chat_memory import MemoryChanges, MessageEntry
from mmplatform.derive.pii.edges import may_continue
from mmplatform.derive.pii.entities import NUMBER_ENTITIES
from mmplatform.derive.pii.replacement import Span, merge_spans
from mmplatform.events import Arrival, ChatEdited, ChatMessage, Event, Position

MAX_PAUSE: Final = timedelta(minutes=5)
"""Between two messages of one speaker, by the times at which they were written."""

MAX_MESSAGES_READ: Final = 20
"""Messages of one value: a card that is sent digit by digit behind its label has 17."""

MAX_CHARS_READ: Final = 2_000
"""Characters that are read again for one message, in the shortest readings first: a flood of digits costs a bound."""

MAX_END_CHARS: Final = 200
"""Characters of a long message that are read together with its neighbour."""

_SPREAD: Final = frozenset(NUMBER_ENTITIES) - {"ADDRESS", "HANDLE", "IP"}
"""Entities that people spread over messages. Of names and addresses each message is read by itself."""

_DOMAIN: Final = re.compile(r"\s*[\w-]+(?:\.[\w-]+)+")

ReadTogether = Callable[[Sequence[str]], Sequence[Sequence[Span]]]
"""Redactor: texts → the spans of each."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A message by its identity, with its entry."""

    uid: str
    entry: MessageEntry


@dataclass(frozen=True, slots=True)
class _Link:
    """A message of a chain, with the text that it has while the chain is noted."""

    uid: str
    entry: MessageEntry
    event: ChatMessage


@dataclass(frozen=True, slots=True)
class _Chain:
    """Messages through which a value may go on, in the order of their times; ``new``: number of the one that came."""

    links: tuple[_Link, ...]
    new: int
    position: Position

    @property
    def event(self) -> ChatMessage:
        """The message that came."""
        return self.links[self.new].event


@dataclass(frozen=True, slots=True)
class _Part:
    """A message of one reading: the characters of its text that were joined, and their place in the joined text."""

    number: int
    first: int
    text: str
    offset: int


class JointReader:
    """Reads chains of messages, and gives each message what was found in it. For one micro-batch."""

    def __init__(self, changes: MemoryChanges, read_together: ReadTogether) -> None:
        self._changes = changes
        self._read_together = read_together
        self._chains: list[_Chain] = []

    def note(
        self,
        uid: str,
        arrival: Arrival[ChatMessage],
        entry: MessageEntry,
        pending: Mapping[str, Arrival[ChatMessage]],
    ) -> None:
        """Note the chain of a message that has come, or that has another text now. Its entry is stored already.

        Raises:
            Unavailable: the log does not answer.
        """
        before, after = find_neighbours(self._changes, uid, arrival, entry)
        if not before and not after:
            return
        earlier, later = self._link(before, pending), self._link(after, pending)
        links = (*reversed(earlier), _Link(uid, entry, arrival.event), *later)
        self._chains.append(_Chain(links, len(earlier), arrival.position))

    def read(self, pending: Mapping[str, Arrival[ChatMessage]]) -> dict[str, Arrival[ChatMessage]]:
        """Read the noted chains; returns the messages to derive: those that are pending, and those given away.

        The order of the chains is that of the log, and each is read as if its last message had come alone.
        """
        chains, self._chains = self._chains, []
        changed = dict(pending)
        readings = [(chain, parts) for chain in chains for parts in _readings(chain)]
        if not readings:
            return changed
        found = self._read_together(["".join(part.text for part in parts) for _, parts in readings])
        for (chain, parts), spans in zip(readings, found, strict=True):
            for part in parts:
                link = chain.links[part.number]
                inside = _accepted(part, spans, is_fragment=link.entry.edges == "fragment")
                if inside and self._keep(chain, link, inside):
                    waiting = changed.get(link.uid)
                    if waiting is None or _is_before(waiting.position, chain.position):
                        changed[link.uid] = Arrival(link.event, chain.position)
        return changed

    def _keep(self, chain: _Chain, link: _Link, inside: Sequence[Span]) -> bool:
        """Keep spans with the message; False when it had them, or was changed by a later event of the batch."""
        entry = self._changes.message(chain.event, link.uid, chain.position)
        if entry is None or entry.status != "live" or entry.text_at != link.entry.text_at:
            return False
        joint = merge_spans(entry.joint, inside)
        if joint == entry.joint:
            return False
        is_new = link is chain.links[chain.new]
        completed_by = entry.completed_by if is_new else chain.event.event_id
        found = entry.model_copy(update={"joint": joint, "completed_by": completed_by})
        self._changes.put_message(chain.event, link.uid, chain.position, found)
        return True

    def _link(self, neighbours: Sequence[Neighbour], pending: Mapping[str, Arrival[ChatMessage]]) -> list[_Link]:
        """Read the texts of neighbours, the nearest first, up to one that is no longer on the log."""
        links = []
        for neighbour in neighbours:
            waiting = pending.get(neighbour.uid)
            logged = None if waiting else self._changes.memory.read_text(to_position(neighbour.entry.text_at))
            event = waiting.event if waiting else _to_message(logged, neighbour)
            if event is None:
                break
            links.append(_Link(neighbour.uid, neighbour.entry, event))
        return links


def find_neighbours(
    changes: MemoryChanges, uid: str, arrival: Arrival[ChatMessage], entry: MessageEntry
) -> tuple[list[Neighbour], list[Neighbour]]:
    """Find the messages of the same speaker from which a value may reach this one, and those into which it may go on.

    Both are sorted from the nearest on, by the times at which they were written.
    """
    earlier, later = [], []
    moment = _moment(entry)
    for found_uid, found in changes.recent(arrival.event, arrival.position):
        if found_uid == uid or not _is_of_one_speaker(entry, found):
            continue
        if _moment(found) > moment:
            later.append(Neighbour(found_uid, found))
            continue
        earlier.append(Neighbour(found_uid, found))
        if not entry.edges and not _follows(found, entry):
            break  # the usual message: the one before it is looked at, and nothing else
    new = Neighbour(uid, entry)
    before = _reach(new, sorted(earlier, key=_by_time, reverse=True), lambda near, far: _follows(far, near))
    return before, _reach(new, sorted(later, key=_by_time), _follows)


def _reach(
    new: Neighbour, candidates: Sequence[Neighbour], follows: Callable[[MessageEntry, MessageEntry], bool]
) -> list[Neighbour]:
    """Candidates that follow one another, from the new message on, up to one that is more than a fragment."""
    reached: list[Neighbour] = []
    for candidate in candidates[: MAX_MESSAGES_READ - 1]:
        near = reached[-1] if reached else new
        if (reached and near.entry.edges != "fragment") or not follows(near.entry, candidate.entry):
            break
        reached.append(candidate)
    return reached


def _follows(earlier: MessageEntry, later: MessageEntry) -> bool:
    return _moment(later) - _moment(earlier) <= MAX_PAUSE.total_seconds() and may_continue(earlier.edges, later.edges)


def _is_of_one_speaker(entry: MessageEntry, found: MessageEntry) -> bool:
    return found.status == "live" and (found.role, found.subject) == (entry.role, entry.subject)


def _moment(entry: MessageEntry) -> float:
    return entry.event_time.timestamp() if entry.event_time is not None else 0.0


def _by_time(neighbour: Neighbour) -> tuple[float, tuple[int, int, int]]:
    return _moment(neighbour.entry), neighbour.entry.text_at


def _to_message(event: Event | None, neighbour: Neighbour) -> ChatMessage | None:
    """The message with the text that its entry points at; None: something else is there."""
    if isinstance(event, ChatEdited) and event.message_uid == neighbour.uid:
        return present_message(event, neighbour.entry)
    return event if isinstance(event, ChatMessage) and event.uid == neighbour.uid else None


def _readings(chain: _Chain) -> Iterator[list[_Part]]:
    """Yield each stretch of the chain that has the new message in it, the shortest first."""
    chars = 0
    for first, last in _stretches(chain.new, len(chain.links)):
        parts = _join([(number, chain.links[number].event.text) for number in range(first, last + 1)])
        chars += sum(len(part.text) for part in parts)
        if chars > MAX_CHARS_READ:
            return
        yield parts


def _stretches(new: int, count: int) -> Iterator[tuple[int, int]]:
    """Yield the first and the last number of every stretch of two and more that has ``new`` in it."""
    for length in range(2, min(count, MAX_MESSAGES_READ) + 1):
        for start in range(max(0, new - length + 1), min(new, count - length) + 1):
            yield start, start + length - 1


def _join(texts: Sequence[tuple[int, str]]) -> list[_Part]:
    """Join texts with a space, and without one in an e-mail address. Of the outer ones only the near ends are read."""
    parts: list[_Part] = []
    offset = 0
    for index, (number, text) in enumerate(texts):
        first = max(len(text) - MAX_END_CHARS, 0) if index == 0 else 0
        piece = text[first:] if index < len(texts) - 1 else text[:MAX_END_CHARS]
        if parts and not _is_glued(parts[-1].text, piece):
            parts[-1] = _Part(parts[-1].number, parts[-1].first, parts[-1].text + " ", parts[-1].offset)
            offset += 1
        parts.append(_Part(number, first, piece, offset))
        offset += len(piece)
    return parts


def _is_glued(before: str, after: str) -> bool:
    if before.rstrip().endswith("@"):
        return _DOMAIN.match(after) is not None
    return after.startswith(("@", "."))


def _is_before(position: Position, later: Position) -> bool:
    return (position.generation, position.offset) < (later.generation, later.offset)


def _accepted(part: _Part, spans: Sequence[Span], *, is_fragment: bool) -> list[Span]:
    """Spans of a joined text inside one message, in characters of its text.

    A value must touch two messages. One that lies within a fragment counts too: its label may be in the other one.
    """
    found = []
    for start, end, entity in spans:
        first, last = max(start - part.offset, 0), min(end - part.offset, len(part.text))
        while first < last and part.text[last - 1].isspace():
            last -= 1
        if entity not in _SPREAD or first >= last:
            continue
        within = start >= part.offset and end <= part.offset + len(part.text)
        if is_fragment or not within:
            found.append((part.first + first, part.first + last, entity))
    return found
