"""Memoised batch: the memo's answers for a batch of inputs, and the computed answers for the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from mmplatform.ports import Memo

Input = TypeVar("Input")
Output = TypeVar("Output")


@dataclass(frozen=True, slots=True)
class MemoisedBatch(Generic[Output]):
    """Answers by key, in the order of the inputs.

    Attributes:
        outputs: all answers; an input for which ``compute`` gave none is left out.
        computed: keys that the memo did not answer.
        seconds: compute for each of ``computed``; zero when there are none.
    """

    outputs: dict[str, Output]
    computed: frozenset[str]
    seconds: float


def memoised_batch(
    memo: Memo,
    space: str,
    inputs: Mapping[str, Input],
    compute: Callable[[dict[str, Input]], Mapping[str, Output]],
    *,
    pack: Callable[[Output], bytes | None],
    unpack: Callable[[str, bytes], Output],
) -> MemoisedBatch[Output]:
    """Answer a batch with one read and one write of the memo.

    Args:
        memo: the memo; its ``Unavailable`` passes through.
        space: the memo's space: name and version of all that the answers depend on.
        inputs: each input by the hash of its content.
        compute: answers the inputs that the memo does not know, in one call; not called without any.
        pack: an answer as bytes; None for an answer that must not be stored.
        unpack: the answer from its key and bytes.
    """
    cached = {key: unpack(key, packed) for key, packed in memo.get_many(space, list(inputs)).items()}
    missing = {key: value for key, value in inputs.items() if key not in cached}
    started = time.perf_counter()
    computed = compute(missing) if missing else {}
    seconds = (time.perf_counter() - started) / len(missing) if missing else 0.0
    entries = {key: pack(output) for key, output in computed.items()}
    memo.put_many(space, {key: entry for key, entry in entries.items() if entry is not None})
    answers = cached | dict(computed)
    return MemoisedBatch({key: answers[key] for key in inputs if key in answers}, frozenset(missing), seconds)
