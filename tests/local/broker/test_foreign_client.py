"""A foreign client: kcat, built on an older librdkafka."""

from __future__ import annotations

import shutil
import subprocess

import pytest

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed (Debian: apt-get install kcat)"),
]


def kcat(broker, *arguments, given=""):
    return subprocess.run(
        ["kcat", "-b", broker.address, *arguments], input=given, capture_output=True, text=True, timeout=30, check=True
    ).stdout


def test_kcat_writes_reads_and_lists_metadata(broker, kafka):
    topic = kafka.topic(2)
    kcat(broker, "-P", "-t", topic, "-p", "1", "-K:", "-H", "h=1", "-z", "snappy", given="k1:one\nk2:two\n")
    read = kcat(broker, "-C", "-t", topic, "-e", "-f", "%p %o %k %s %h\\n")
    assert read.splitlines() == ["1 0 k1 one h=1", "1 1 k2 two h=1"]
    assert f'topic "{topic}" with 2 partitions' in kcat(broker, "-L")
    assert kcat(broker, "-Q", "-t", f"{topic}:1:-1").strip() == f"{topic} [1] offset 2"


def test_kcat_reads_in_a_group(broker, kafka):
    topic = kafka.topic()
    kafka.produce(topic, [b"one", b"two", b"three"])
    read = kcat(broker, "-G", "some-group", "-X", "auto.offset.reset=earliest", "-e", "-q", topic)
    assert read.splitlines() == ["one", "two", "three"]
