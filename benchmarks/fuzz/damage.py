"""Sound records and files made unsound: a field that is gone, a type that is another, bytes that are cut or turned."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any, Final

PLANTED: Final = ("5500 0000 0000 0004", "dana.planted@example.org")
"""Personal data in what is damaged, other than that of the sample case: no reason and no log line may repeat it."""

_TALE: Final = " ".join(PLANTED)
_TIMES: Final = (
    "1970-01-01T00:00:00Z", "2031-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00",
    "2026-03-01T12:00:00", "yesterday", 0, -1, 1e20,
)  # fmt: skip
_STRINGS: Final = (
    "", " ", "\x00", "a\x00b", "\ud800", "\udfff\ud800", "\u202e", "\ufeff", "🙂" * 50, "x" * 300, "'; drop table",
    "../../etc/passwd", "%s%n", "${HOME}", "<script>", _TALE, "\u0663\u0664", "e\u0301" * 20,
)  # fmt: skip
_NUMBERS: Final = (0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**30, 1.5, -0.0, 1e308, float("nan"), float("inf"))


class Damage:
    """Draws from one generator, so that a seed names every byte."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._ways: tuple[Callable[[dict[str, Any]], bytes], ...] = (
            self._without, self._another, self._unknown, self._cut, self._turned, self._twice, self._wrapped,
        )  # fmt: skip

    def record(self, sound: dict[str, Any]) -> bytes:
        """A record of the log, or a body of the gateway, damaged in one way."""
        return self._chance.choice(self._ways)(dict(sound))

    def file(self, sound: bytes) -> bytes:
        """An image or a piece of audio: cut, turned, or other bytes altogether."""
        way = self._chance.randrange(4)
        if way == 0:
            return sound[: self._chance.randrange(len(sound))]
        if way == 1:
            return self.turned(sound)
        if way == 2:
            return self.noise()
        index = self._chance.randrange(len(sound))
        return sound[:index] + self.noise() + sound[index:]

    def noise(self) -> bytes:
        """Bytes that mean nothing."""
        return self._chance.choice((b"", b"\xff\xfe", b"null", b"[]", b"[" * 2_000, self._chance.randbytes(200)))

    def turned(self, sound: bytes) -> bytes:
        """Some bytes are others."""
        data = bytearray(sound)
        for _ in range(self._chance.randint(1, 8)):
            data[self._chance.randrange(len(data))] = self._chance.randrange(256)
        return bytes(data)

    def value(self, depth: int = 2) -> Any:
        """Anything that JSON can say, and some that it cannot."""
        leaf = self._chance.choice((None, True, *_NUMBERS, *_TIMES, *_STRINGS))
        if not depth or self._chance.random() < 0.75:
            return leaf
        inner = [self.value(depth - 1) for _ in range(self._chance.randrange(4))]
        return inner if self._chance.random() < 0.5 else {self._name(): item for item in inner}

    def _name(self) -> str:
        return self._chance.choice(("kind", "text", "event_id", "subject_id", "blob", "x", *PLANTED))

    def _without(self, fields: dict[str, Any]) -> bytes:
        del fields[self._chance.choice(list(fields))]
        return _json(fields)

    def _another(self, fields: dict[str, Any]) -> bytes:
        for name in self._chance.sample(list(fields), self._chance.randint(1, 2)):
            value = self.value()
            # An id is told and logged: a source that makes one of a card number has given it away itself.
            fields[name] = "x" if name.endswith("_id") and value == _TALE else value
        return _json(fields)

    def _unknown(self, fields: dict[str, Any]) -> bytes:
        return _json(fields | {self._name(): self.value(), "surprise": self.value()})

    def _cut(self, fields: dict[str, Any]) -> bytes:
        encoded = _json(fields)
        return encoded[: self._chance.randrange(len(encoded))]

    def _turned(self, fields: dict[str, Any]) -> bytes:
        return self.turned(_json(fields))

    def _twice(self, fields: dict[str, Any]) -> bytes:
        return _json(fields) * 2

    def _wrapped(self, fields: dict[str, Any]) -> bytes:
        return _json([fields, self.value()] if self._chance.random() < 0.5 else {"record": fields})


def _json(value: Any) -> bytes:
    # Half of a surrogate pair as a foreign client writes it: escaped, or as the bytes that it would be.
    return json.dumps(value).encode("utf-8", "surrogatepass")
