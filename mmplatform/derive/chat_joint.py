"""Joint reading of the messages of one speaker: a value that is spread over several leaves each of them.

``my card is 4111 1111`` and ``1111 1111`` are two messages, and neither looks like a card. So a message is also read
together with its neighbours where a value may go on from one to the next. What only a joint reading finds is kept
with the message, as positions in its text: a repetition or a run finds it again without its neighbours. Whatever was
found is never taken back while the text stays.

A neighbour that was published before is derived again, with the position of the message that gave it away. That is the
rule of calls too (:mod:`mmplatform.derive.call.redaction`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from mmplatform.derive.chat_changes import present_message, to_position
from mmplatform.derive.chat_memory import MemoryChanges, MessageEntry
from mmplatform.derive.chat_stretches import Part, accepted, joined, readings
from mmplatform.derive.pii.edges import may_continue
from mmplatform.derive.pii.replacement import Span, merge_spans
from mmplatform.events import Arrival, ChatEdited, ChatMessage, Event, Position

MAX_PAUSE: Final = timedelta(minutes=5)
"""Between two messages of one speaker, by the times at which they were written."""

MAX_MESSAGES_READ: Final = 20
"""Messages of one value: a card that is sent digit by digit behind its label has 17."""

MAX_PASSED: Final = 4
"""Messages of the speaker that are passed over on the way to the nearest one in time: the log is nearly so ordered."""

ReadTogether = Callable[[Sequence[str]], Sequence[Sequence[Span]]]
"""Redactor: texts → the spans of each."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A message by its identity, with its entry; ``number`` grows in the order in which messages first came."""

    uid: str
    entry: MessageEntry
    number: int


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

    @property
    def event_id(self) -> str:
        """Id of what came: the message, or its edit."""
        return self.links[self.new].entry.event_id or self.event.event_id

    def readings(self) -> Iterator[list[Part]]:
        """Stretches that are read together."""
        texts = [link.event.text for link in self.links]
        return readings(texts, self.new, is_fragment=self.links[self.new].entry.edges == "fragment")


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
        read = [(chain, parts) for chain in chains for parts in chain.readings()]
        if not read:
            return changed
        found = self._read_together([joined(parts) for _, parts in read])
        for (chain, parts), spans in zip(read, found, strict=True):
            for number, part in enumerate(parts):
                link = chain.links[part.number]
                inside = accepted(number, parts, spans)
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
        completed_by = entry.completed_by if is_new else chain.event_id
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
    earlier: list[Neighbour] = []
    later: list[Neighbour] = []
    moment, is_after, passed = _moment(entry), True, 0
    new = Neighbour(uid, entry, 0)
    for number, found_uid, found in changes.recent(arrival.event, arrival.position):
        if found_uid == uid:
            is_after = False
        elif _is_of_one_speaker(entry, found):
            is_later = _moment(found) > moment or (is_after and _moment(found) == moment)
            (later if is_later else earlier).append(Neighbour(found_uid, found, number))
            passed += not is_later and not _follows(found, entry)
            if passed >= MAX_PASSED and not entry.edges:
                break  # the usual message: the few before it are looked up, and nothing else
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


def _by_time(neighbour: Neighbour) -> tuple[float, int]:
    return _moment(neighbour.entry), neighbour.number


def _to_message(event: Event | None, neighbour: Neighbour) -> ChatMessage | None:
    """The message with the text that its entry points at; None: something else is there."""
    if isinstance(event, ChatEdited) and event.message_uid == neighbour.uid:
        return present_message(event, neighbour.entry)
    return event if isinstance(event, ChatMessage) and event.uid == neighbour.uid else None


def _is_before(position: Position, later: Position) -> bool:
    return (position.generation, position.offset) < (later.generation, later.offset)
