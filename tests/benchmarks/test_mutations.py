"""A share of ``benchmarks.mutations``: each format by each mutation once, without a process for each file."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.mutations.mutate import MUTATIONS, Mutant, mutant
from benchmarks.mutations.samples import samples
from benchmarks.mutations.verdict import DERIVED, LOST, REFUSED, Verdict, open_judge

SEED = 20261201


@pytest.fixture(scope="module")
def judge():
    with open_judge() as opened:
        yield opened


def test_each_sound_file_is_derived_without_gaps(judge):
    ends = {
        sample.format: judge.judge(Mutant(0, sample.format, "none", sample.media_type, sample.data))
        for sample in samples()
    }
    assert {name: verdict for name, verdict in ends.items() if verdict != Verdict(DERIVED)} == {}


@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, one for each damaged EXIF field
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_no_mutated_file_is_acknowledged_that_is_not_derived_or_named(judge, mutation):
    first = list(MUTATIONS).index(mutation) * len(samples())
    mutants = [mutant(number, SEED, samples()) for number in range(first, first + len(samples()))]
    assert {changed.mutation for changed in mutants} == {mutation}
    verdicts = {changed.format: judge.judge(changed) for changed in mutants}
    assert {name: verdict for name, verdict in verdicts.items() if verdict.end == LOST} == {}
    assert Counter(verdict.end for verdict in verdicts.values())[REFUSED] < len(verdicts)


def test_a_mutant_is_named_by_its_seed_and_number():
    assert mutant(77, 1, samples()) == mutant(77, 1, samples())
    assert mutant(77, 1, samples()).data != mutant(77, 2, samples()).data


def test_a_loss_is_reported(judge, monkeypatch):
    """A deriver that decodes less than was acknowledged, and one that raises, are found."""
    sound = next(sample for sample in samples() if sample.format == "flac")
    whole = Mutant(0, sound.format, "none", sound.media_type, sound.data)
    probe = judge._deps.probe_audio

    def longer(data, media_type):
        info = probe(data, media_type)
        return type(info)(info.sample_rate, info.channels, info.duration_s + 1.0, info.codec)

    monkeypatch.setattr(judge._deps, "probe_audio", longer)
    assert judge.judge(whole).end == LOST
    monkeypatch.setattr(judge._deps, "probe_audio", lambda *_: 1 / 0)
    assert judge.judge(whole).reason == "the gateway raised ZeroDivisionError"
