"""Mutations of a file: what disks, networks, editors and encoders do to it. A seed and a number name every byte."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.mutations.samples import Sample

_HEAD_BYTES: Final = 96
_MAX_BLOCK: Final = 4096


@dataclass(frozen=True, slots=True)
class Mutant:
    """A mutated file."""

    number: int
    format: str
    mutation: str
    media_type: str
    data: bytes

    @property
    def is_audio(self) -> bool:
        """True for audio, False for an image."""
        return self.media_type.startswith(("audio/", "video/"))


def mutant(number: int, seed: int, samples: Sequence[Sample]) -> Mutant:
    """Build mutant ``number``: formats go round fastest, then mutations, so that any prefix of the run has all."""
    rng = random.Random(f"{seed}/{number}")
    sample = samples[number % len(samples)]
    name = list(MUTATIONS)[number // len(samples) % len(MUTATIONS)]
    return Mutant(number, sample.format, name, sample.media_type, MUTATIONS[name](sample.data, rng, samples))


def _truncate(data: bytes, rng: random.Random, _: Sequence[Sample]) -> bytes:
    return data[: rng.randrange(1, len(data))]


def _truncate_end(data: bytes, rng: random.Random, _: Sequence[Sample]) -> bytes:
    return data[: -rng.randrange(1, max(2, len(data) // 10))]


def _flip_bits(data: bytes, rng: random.Random, _: Sequence[Sample]) -> bytes:
    out = bytearray(data)
    for _flip in range(rng.choice((1, 4, 16, 64))):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def _damage_head(data: bytes, rng: random.Random, _: Sequence[Sample]) -> bytes:
    out = bytearray(data)
    for _flip in range(rng.choice((1, 2, 6))):
        out[rng.randrange(min(_HEAD_BYTES, len(out)))] = rng.choice((0, 0xFF, 0x7F, 0x80, rng.randrange(256)))
    return bytes(out)


def _swap_head(data: bytes, rng: random.Random, samples: Sequence[Sample]) -> bytes:
    size = rng.choice((12, 32, _HEAD_BYTES))
    return rng.choice(samples).data[:size] + data[size:]


def _splice(data: bytes, rng: random.Random, samples: Sequence[Sample]) -> bytes:
    foreign = rng.choice(samples).data
    offset, start = rng.randrange(len(data)), rng.randrange(len(foreign))
    return data[:offset] + foreign[start : start + rng.randrange(1, 2 * _MAX_BLOCK)] + data[offset:]


def _join(data: bytes, rng: random.Random, samples: Sequence[Sample]) -> bytes:
    return data[: rng.randrange(1, len(data))] + rng.choice((data, rng.choice(samples).data))


def _zero_block(data: bytes, rng: random.Random, _: Sequence[Sample]) -> bytes:
    offset, size = _block(data, rng)
    return data[:offset] + bytes(size) + data[offset + size :]


def _randomise_block(data: bytes, rng: random.Random, _: Sequence[Sample]) -> bytes:
    offset, size = _block(data, rng)
    return data[:offset] + rng.randbytes(size) + data[offset + size :]


def _remove_block(data: bytes, rng: random.Random, _: Sequence[Sample]) -> bytes:
    offset, size = _block(data, rng)
    return data[:offset] + data[offset + size :]


def _repeat_block(data: bytes, rng: random.Random, _: Sequence[Sample]) -> bytes:
    offset, size = _block(data, rng)
    return data[: offset + size] + data[offset:]


def _block(data: bytes, rng: random.Random) -> tuple[int, int]:
    size = min(rng.choice((16, 250, 1024, _MAX_BLOCK)), max(1, len(data) // 2))
    return rng.randrange(max(1, len(data) - size)), size


MUTATIONS: Final[dict[str, Callable[[bytes, random.Random, Sequence[Sample]], bytes]]] = {
    "truncated": _truncate,
    "end missing": _truncate_end,
    "bits flipped": _flip_bits,
    "head damaged": _damage_head,
    "head of another file": _swap_head,
    "part of another file within": _splice,
    "another file behind": _join,
    "block zeroed": _zero_block,
    "block randomised": _randomise_block,
    "block removed": _remove_block,
    "block repeated": _repeat_block,
}
