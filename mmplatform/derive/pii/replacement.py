"""Replacement of redacted spans: the one function that writes what stands in the place of a value. Pure.

Chats, transcripts and screenshots all use it, and so does the redactor itself, which always writes the kind.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import unicodedata
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from mmplatform.derive.pii.normalise import replace_surrogates, to_plain, words_to_digits
from mmplatform.derive.pii.policy import Action, ModalityPolicy

Span = tuple[int, int, str]
"""Start and end, in characters of the text, and the entity."""

_SHOWN: Final = 4
_MIN_HIDDEN: Final = 8
_TAG_HEX: Final = 4
_KEY_BYTES: Final = 32
_DIGITS_ONLY: Final = frozenset({"CARD", "BANK_ACCOUNT", "PHONE"})
_LENGTHS: Final = {"CARD": range(12, 20), "IBAN": range(15, 35)}
"""Characters of a complete value. A part of one, as an utterance may hold it, would show what is not its end."""

ReplaceValue = Callable[[str, str], str]
"""Entity and value → the text that replaces the value."""


def by_kind(entity: str, value: str = "") -> str:
    """Name the entity: ``[CARD]``."""
    del value
    return f"[{entity}]"


def replace_spans(
    text: str, spans: Sequence[Span], replace_value: ReplaceValue = by_kind, *, parts: Container[int] = ()
) -> str:
    """Replace spans of a text. Lone surrogates become U+FFFD, so that the result can be encoded.

    Args:
        text: as it was written.
        spans: sorted and disjoint.
        replace_value: writes what replaces a value.
        parts: starts of spans that hold only a part of a value, which is replaced by its kind.
    """
    clean = replace_surrogates(text)
    pieces, copied_to = [], 0
    for start, end, entity in spans:
        replacement = by_kind(entity) if start in parts else replace_value(entity, clean[start:end])
        pieces += [clean[copied_to:start], replacement]
        copied_to = end
    return "".join([*pieces, clean[copied_to:]])


def merge_spans(own_spans: Sequence[Span], joint_spans: Sequence[Span]) -> tuple[Span, ...]:
    """Sort spans and merge overlapping ones; the entity found in the text alone wins over a joint reading's."""
    merged: list[tuple[int, int, int, str]] = []
    ranked = [(start, end, 0, entity) for start, end, entity in own_spans] + [
        (start, end, 1, entity) for start, end, entity in joint_spans
    ]
    for start, end, rank, entity in sorted(ranked):
        if merged and start < merged[-1][1]:
            first, last, best_rank, best_entity = merged[-1]
            merged[-1] = (first, max(last, end), min(best_rank, rank), entity if rank < best_rank else best_entity)
        else:
            merged.append((start, end, rank, entity))
    return tuple((start, end, entity) for start, end, _, entity in merged)


def overlaps_any(spans: Sequence[Span], start: int, end: int) -> bool:
    """Check whether any span overlaps these characters."""
    return any(first < end and start < last for first, last, _ in spans)


@dataclass(frozen=True, slots=True)
class Replacements:
    """Replacements of one modality, as its policy has them.

    Attributes:
        actions: by entity, what is not replaced by its kind.
        policy_version: of the policy; empty for replacements by kind without a policy.
        key: key of the tags.
    """

    actions: Mapping[str, Action] = field(default_factory=dict)
    policy_version: str = ""
    key: bytes = field(default=b"", repr=False)

    @classmethod
    def from_policy(cls, policy: ModalityPolicy, key: bytes = b"") -> Replacements:
        """Build the replacements of a policy; ``key``: needed where it has tags.

        Raises:
            ValueError: the policy has tags, and there is no key.
        """
        if policy.has_tags and not key:
            raise ValueError("tags need a key")
        return cls(policy.actions, policy.version, key)

    @property
    def has_tags(self) -> bool:
        """True when the redacted text depends on the conversation."""
        return "tag" in self.actions.values()

    def replace(self, text: str, spans: Sequence[Span], conversation_key: str, *, parts: Container[int] = ()) -> str:
        """Replace spans of a text of one conversation; ``parts`` as in :func:`replace_spans`."""
        return replace_spans(text, spans, self.for_conversation(conversation_key), parts=parts)

    def for_conversation(self, conversation_key: str) -> ReplaceValue:
        """Bind the replacement of a value to a conversation."""
        return partial(self._replace_value, conversation_key)

    def _replace_value(self, conversation_key: str, entity: str, value: str) -> str:
        detail = ""
        match self.actions.get(entity, "kind"):
            case "last_four":
                detail = _last_four(entity, value)
            case "tag":
                detail = self._tag(conversation_key, entity, value)
        return f"[{entity} {detail}]" if detail else by_kind(entity)

    def _tag(self, conversation_key: str, entity: str, value: str) -> str:
        canonical = _canonical(entity, value)
        if not canonical:
            return ""
        message = json.dumps([conversation_key, entity, canonical]).encode()
        return hmac.new(self.key, message, hashlib.sha256).hexdigest()[:_TAG_HEX]


def derive_tag_key(secret: bytes) -> bytes:
    """Derive the key of the tags from a secret of the installation, so that neither shows the other's results."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), _KEY_BYTES, salt=None, info=b"mmplatform redaction tags").derive(secret)


def _last_four(entity: str, value: str) -> str:
    """Select the last four characters, where at least eight others stay hidden; empty where they do not."""
    characters = [character for character in _with_digits(value) if character.isalnum()]
    shown = "".join(characters).upper()[-_SHOWN:]  # cut last: a capital may be two letters (ß)
    if entity in _DIGITS_ONLY:
        # Markup between the digits is not counted, and a letter read for a digit is not shown.
        characters = [character for character in characters if character.isdigit()]
        if not shown.isdigit():
            return ""
    complete = len(characters) in _LENGTHS[entity] if entity in _LENGTHS else True
    return f"…{shown}" if complete and len(characters) >= _SHOWN + _MIN_HIDDEN else ""


def _canonical(entity: str, value: str) -> str:
    """Normalise a value, so that its spellings have one tag: letter case, spaces, separators, number words."""
    folded = unicodedata.normalize("NFKC", value if entity in {"PERSON", "ADDRESS"} else _with_digits(value)).casefold()
    if entity in {"EMAIL", "HANDLE", "IP"}:
        return "".join(folded.split())
    return "".join(character for character in folded if character.isalnum())


def _with_digits(value: str) -> str:
    plain = to_plain(value)
    rewritten = words_to_digits(plain)
    return plain if rewritten is None else rewritten.text
