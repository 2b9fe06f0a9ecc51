"""The small programs of examples/, run as a reader runs them, against the stack that this folder shares."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import eventually

pytestmark = [pytest.mark.stack, pytest.mark.models, pytest.mark.slow]
EXAMPLES = Path(__file__).parents[2] / "examples"


def run(program: str, *arguments: str) -> str:
    completed = subprocess.run(
        [sys.executable, EXAMPLES / program, *arguments],
        env=os.environ | {"NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


def test_a_chat_that_the_program_sends_is_found_by_the_program_that_searches(stack):
    lines = run("send_chat.py", stack.run.gateway).splitlines()
    assert len(lines) == 3
    assert all(re.fullmatch(r"\w+ is on interactions\.chat/\d+ at offset \d+", line) for line in lines)
    found = eventually(
        lambda: "LF-482193" in (output := run("search.py", stack.run.gateway, "the parcel has not come")) and output,
        within_s=60,
    )
    assert re.search(r"^\d\.\d\d  .*my parcel LF-482193 has not come$", found, re.MULTILINE)
    assert re.search(r"^ {6}chat message \w+ \(customer\), \d+ s ago, indexed after \d+\.\d\d s$", found, re.MULTILINE)


def test_the_call_that_the_program_streams_is_transcribed_with_both_speakers(stack):
    (line,) = run("stream_call.py", stack.run.gateway, "100").splitlines()
    streamed = re.fullmatch(r"(call-\w+): (\d+) chunks are on the log", line)
    assert streamed
    assert int(streamed[2]) > 100

    def speakers():
        hits = stack.search("why did the payment fail", subject_id="dana", modalities=["call"], k=50)
        return {hit["locator"]["speaker"] for hit in hits if hit["conversation_id"] == streamed[1]}

    assert eventually(lambda: len(found := speakers()) == 2 and found, within_s=180) == {"agent", "customer"}


def test_the_program_that_watches_prints_the_gap_of_each_chat(stack):
    lines = run("watch_freshness.py", stack.run.gateway, "3").splitlines()
    assert len(lines) == 3
    for line in lines:
        found = re.fullmatch(r"chat \d: found after (\d+\.\d\d) s, indexed after (\d+\.\d\d) s", line)
        assert found
        assert float(found[2]) > 0
