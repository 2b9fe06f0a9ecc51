"""``mmplatform chat`` in a process of its own, against a gateway that listens."""

from __future__ import annotations

import subprocess
import sys

from mmplatform.events import decode_event
from mmplatform.modalities import CHAT
from tests.cli.test_ingest import listening

OWNER = ("--conversation", "c1", "--subject", "s1", "--source", "crm")


def run(*arguments, text=""):
    command = [sys.executable, "-m", "mmplatform", "chat", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, input=text)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_message_is_edited_deleted_and_redacted(tmp_path):
    with listening(tmp_path) as (url, log):
        assert "is on the log" in run("edit", "m1", *OWNER, "--revision", "2", "--url", url, text="new\n")
        run("delete", "m1", *OWNER, "--url", url)
        run("delete", "m1", *OWNER, "--redact", "--url", url)
        assert "was on the log already" in run("delete", "m1", *OWNER, "--url", url)
        events = [decode_event(entry.value) for entry in log.read(CHAT.topic)]
    assert [(event.kind, event.message_id, event.source) for event in events] == [
        ("chat_edited", "m1", "crm"),
        ("chat_deleted", "m1", "crm"),
        ("chat_redacted", "m1", "crm"),
    ]
    assert (events[0].text, events[0].revision) == ("new", 2)
