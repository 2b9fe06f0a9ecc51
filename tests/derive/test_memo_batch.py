"""A batch through the memo: what it knows is not computed, and one read and one write serve all of it."""

from __future__ import annotations

import pytest

from mmplatform.derive.memo_batch import memoised_batch
from mmplatform.memo import MemoryMemo


class CountingMemo(MemoryMemo):
    def __init__(self) -> None:
        super().__init__()
        self.calls = []

    def get_many(self, deriver, keys):
        self.calls.append(("get", deriver, list(keys)))
        return super().get_many(deriver, keys)

    def put_many(self, deriver, entries):
        self.calls.append(("put", deriver, dict(entries)))
        super().put_many(deriver, entries)


def doubled(memo, numbers, *, pack=lambda number: str(number).encode(), skipped=()):
    computed = []

    def compute(missing):
        computed.append(list(missing))
        return {key: 2 * number for key, number in missing.items() if key not in skipped}

    batch = memoised_batch(memo, "double@1", numbers, compute, pack=pack, unpack=lambda _, packed: int(packed))
    return batch, computed


def test_only_what_the_memo_does_not_know_is_computed_in_one_call_and_stored():
    memo = CountingMemo()
    doubled(memo, {"b": 2})
    memo.calls.clear()
    batch, computed = doubled(memo, {"a": 1, "b": 2, "c": 3})
    assert list(batch.outputs.items()) == [("a", 2), ("b", 4), ("c", 6)]
    assert (computed, batch.computed) == ([["a", "c"]], {"a", "c"})
    assert memo.calls == [("get", "double@1", ["a", "b", "c"]), ("put", "double@1", {"a": b"2", "c": b"6"})]


def test_a_batch_that_the_memo_knows_computes_nothing_and_costs_nothing():
    memo = MemoryMemo()
    doubled(memo, {"a": 1})
    batch, computed = doubled(memo, {"a": 1})
    assert (batch.outputs, computed, batch.computed, batch.seconds) == ({"a": 2}, [], frozenset(), 0.0)


def test_an_answer_that_packs_to_none_is_given_and_not_stored():
    memo = MemoryMemo()
    batch, _ = doubled(memo, {"a": 1}, pack=lambda _: None)
    assert batch.outputs == {"a": 2}
    assert memo.get_many("double@1", ["a"]) == {}


def test_an_input_without_an_answer_is_left_out_and_computed_again():
    memo = MemoryMemo()
    batch, _ = doubled(memo, {"a": 1, "b": 2}, skipped={"a"})
    assert batch.outputs == {"b": 4}
    _, computed = doubled(memo, {"a": 1, "b": 2})
    assert computed == [["a"]]


def test_nothing_is_stored_when_the_computation_fails():
    memo = MemoryMemo()
    with pytest.raises(ZeroDivisionError):
        memoised_batch(memo, "double@1", {"a": 1}, lambda _: {"a": 1 // 0}, pack=bytes, unpack=lambda _, p: len(p))
    assert memo.get_many("double@1", ["a"]) == {}
