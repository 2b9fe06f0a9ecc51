from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from mmplatform.errors import Busy, Unavailable
from mmplatform.events import utc_now
from mmplatform.ingest.backpressure import BackpressureGate, open_gates, policy_and_thresholds, read_backlog, watch_lag
from mmplatform.ingest.backpressure_policy import BackpressureThresholds, DeriverBacklog
from mmplatform.kafka.topics import required_topics
from mmplatform.settings import load
from tests.doubles.memory_log import MemoryLog


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def gate(clock):
    return BackpressureGate("chat", BackpressureThresholds(100, 40), clock=clock)


def observe(gate, clock, *lags):
    for lag in lags:
        clock.now += 1
        gate.observe(lag)


def test_a_gate_without_an_observation_is_open(gate):
    gate.check()
    assert gate.lag is None


def test_a_gate_closes_at_high_water_and_opens_at_low_water_only(gate, clock):
    observe(gate, clock, 99)
    gate.check()
    observe(gate, clock, 100)
    with pytest.raises(Busy):
        gate.check()
    observe(gate, clock, 99, 41)
    with pytest.raises(Busy):
        gate.check()
    observe(gate, clock, 40)
    gate.check()
    observe(gate, clock, 99)
    gate.check()


def test_between_two_observations_no_more_is_accepted_than_high_water_allows(gate, clock):
    observe(gate, clock, 60)
    for _ in range(40):
        gate.check()
        gate.record_accepted()
    with pytest.raises(Busy, match="60 events behind at the last check and has accepted 40") as caught:
        gate.check()
    assert (caught.value.retry_after, caught.value.hint["lag"]) == (1.0, 100)
    observe(gate, clock, 60)  # the derivers kept up: it was never behind
    gate.check()
    assert not gate.closed


def test_events_accepted_while_the_lag_was_read_count_until_the_next_observation(gate, clock):
    observe(gate, clock, 0)
    before = gate.accepted_count
    for _ in range(100):
        gate.record_accepted()
    gate.observe(0, accepted_count=before)  # the lag was read before they were on the log
    with pytest.raises(Busy):
        gate.check()
    gate.observe(99, accepted_count=gate.accepted_count)
    gate.check()


def test_without_recent_observations_a_gate_keeps_its_state(gate, clock):
    observe(gate, clock, 60)
    for _ in range(200):
        gate.record_accepted()
    with pytest.raises(Busy):
        gate.check()
    clock.now += 10
    gate.check()


@pytest.mark.parametrize("policy", ["buffer", "shed"])
def test_only_a_throttled_source_waits_for_the_next_observation(policy, clock):
    gate = BackpressureGate("chat", BackpressureThresholds(100, 40), policy=policy, clock=clock)
    observe(gate, clock, 99)
    gate.record_accepted()
    assert gate.check() == ()


def retry_after(gate):
    with pytest.raises(Busy) as caught:
        gate.check()
    return caught.value.retry_after


def test_retry_after_follows_the_drain_rate(gate, clock):
    observe(gate, clock, 1_000, *range(990, 490, -10))
    assert 46 <= retry_after(gate) <= 48  # 460 above low water at 10 a second


def test_retry_after_is_never_zero_or_endless(gate, clock):
    observe(gate, clock, 200)
    assert retry_after(gate) == 5.0  # the rate is not known yet
    observe(gate, clock, 300, 400)
    assert retry_after(gate) == 5.0  # the lag grows: no rate is known
    observe(gate, clock, *range(100_000, 99_900, -1))
    assert 1.0 <= retry_after(gate) <= 60.0
    observe(gate, clock, 41)
    assert retry_after(gate) == 1.0


def test_low_water_above_high_water_still_gives_a_gate_that_opens(clock):
    gate = BackpressureGate("chat", BackpressureThresholds(10, 50), clock=clock)
    observe(gate, clock, 10)
    retry_after(gate)
    observe(gate, clock, 9)
    gate.check()


def test_each_modality_has_its_own_thresholds():
    """The same lag is minutes of work for one modality and hours for another."""
    gates = open_gates(load(kafka_bootstrap_servers="x"))
    for gate in gates.values():
        gate.observe(5_000)
    assert {modality: gate.closed for modality, gate in gates.items()} == {
        "chat": False,
        "call": True,
        "screenshot": True,
    }
    for gate in gates.values():
        gate.observe(400)
    assert {modality: gate.closed for modality, gate in gates.items()} == {
        "chat": False,
        "call": False,
        "screenshot": True,
    }


class Reader:
    """Answers with the next lag, or raises it."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.groups = set()

    def lag(self, group, topics):
        self.groups.add(group)
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {topics[0]: {0: answer, 1: 0}}

    def oldest_pending_at(self, group, topic):  # noqa: ARG002 - the shape of the real one
        return None


async def test_the_watch_updates_each_gate_with_the_lag_of_its_derivers():
    settings = load(
        kafka_bootstrap_servers="x",
        topic_prefix="eu.",
        chat={"high_water": 50},
        call={"high_water": 60},
        screenshot={"high_water": 10},
    )
    gates, reader = open_gates(settings), Reader(60)
    watch = asyncio.create_task(watch_lag(settings, gates, reader, interval_s=0))
    async with asyncio.timeout(5):
        while any(gate.lag is None for gate in gates.values()):  # noqa: ASYNC110 - the watch has no event of its own
            await asyncio.sleep(0.001)
    watch.cancel()
    assert all(gate.closed for gate in gates.values())
    assert reader.groups == {"eu.derive-chat", "eu.derive-call", "eu.derive-screenshot"}


async def test_an_unknown_lag_keeps_the_last_state_and_the_watch_goes_on():
    settings = load(kafka_bootstrap_servers="x", chat={"high_water": 50, "low_water": 10})
    gates = {"chat": open_gates(settings)["chat"]}
    reader = Reader(60, Unavailable("away"), Unavailable("away"), 5)
    watch = asyncio.create_task(watch_lag(settings, gates, reader, interval_s=0))
    async with asyncio.timeout(5):
        while len(reader.answers) > 1 or gates["chat"].lag != 5:
            await asyncio.sleep(0)
            away = len(reader.answers) in {1, 2} and gates["chat"].lag == 60
            assert gates["chat"].closed or not away
    watch.cancel()
    assert not gates["chat"].closed


def test_the_total_is_over_all_topic_partitions():
    settings, log = load(kafka_bootstrap_servers="x"), MemoryLog()
    for spec in required_topics(settings):
        log.create(spec.name)
    for number in range(40):
        log.send("interactions.chat", f"k{number}", b"v")
    assert read_backlog(settings, "chat", log).lag == 40
    assert read_backlog(settings, "call", log) == DeriverBacklog(0, 0.0)


def test_the_age_is_that_of_the_oldest_pending_event():
    settings, log = load(kafka_bootstrap_servers="x"), MemoryLog(topic_partitions=1)
    for spec in required_topics(settings):
        log.create(spec.name)
    for minutes in (10, 3):
        log.send("interactions.chat", "k", b"v", timestamp=utc_now() - timedelta(minutes=minutes))
    assert 599 <= read_backlog(settings, "chat", log).age_s < 640
    log.commit("derive-chat", "interactions.chat", 0, 1)
    assert 179 <= read_backlog(settings, "chat", log).age_s < 220
    log.commit("derive-chat", "interactions.chat", 0, 2)
    assert read_backlog(settings, "chat", log) == DeriverBacklog(0, 0.0)


def test_a_clock_that_was_set_back_gives_no_negative_age():
    settings, log = load(kafka_bootstrap_servers="x"), MemoryLog()
    for spec in required_topics(settings):
        log.create(spec.name)
    log.send("interactions.chat", "k", b"v", timestamp=utc_now() + timedelta(hours=1))
    assert read_backlog(settings, "chat", log) == DeriverBacklog(1, 0.0)


def test_an_old_event_closes_a_gate_although_few_are_pending(clock):
    gate = BackpressureGate("chat", BackpressureThresholds(100, 40, 60.0, 20.0), clock=clock)
    gate.observe(2, 61.0)
    with pytest.raises(Busy, match="the oldest for 61 s") as caught:
        gate.check()
    assert caught.value.hint == {"lag": 2, "oldest_s": 61.0, "low_water": 40}
    gate.observe(2, 30.0)
    assert gate.closed
    gate.observe(2, 20.0)
    assert not gate.closed
    assert gate.high_water_count == 1


def test_a_shedding_gate_gives_its_reasons_and_a_buffering_one_accepts_everything(clock):
    shedding = BackpressureGate("chat", BackpressureThresholds(100, 40, 60.0, 20.0), policy="shed", clock=clock)
    assert shedding.check() == ()
    shedding.observe(100, 61.0)
    assert shedding.check() == ("lag", "age")
    shedding.observe(50, 30.0)
    assert shedding.check() == ("lag", "age"), "the reasons stay until low water"
    shedding.observe(0)
    assert shedding.check() == ()
    buffering = BackpressureGate("chat", BackpressureThresholds(100, 40), policy="buffer", clock=clock)
    buffering.observe(10**9)
    assert buffering.check() == ()
    assert buffering.closed


def test_policies_and_thresholds_are_settings_of_each_modality():
    settings = load(kafka_bootstrap_servers="x", call={"backpressure_policy": "shed", "high_water_age_s": 7.0})
    assert policy_and_thresholds(settings, "call") == ("shed", BackpressureThresholds(1_000, 500, 7.0, 300.0))
    assert policy_and_thresholds(settings, "chat") == ("throttle", BackpressureThresholds(20_000, 10_000, 900.0, 300.0))
