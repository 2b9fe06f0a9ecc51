import json
import os
import re

import pytest
from typer.testing import CliRunner

from mmplatform.cli.main import app
from mmplatform.errors import Misconfigured, Permanent, Unavailable
from mmplatform.events import utc_now
from mmplatform.local import run_file
from mmplatform.local.doctor import doctor
from mmplatform.local.run_file import ServiceRun, StackLock, StackRun


@pytest.fixture(autouse=True)
def data(monkeypatch, tmp_path):
    monkeypatch.setenv("MMPLATFORM_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(run_file, "_LOCK_TIMEOUT_S", 0.0)
    return tmp_path


@pytest.fixture
def stack(data):
    """A stack as its run file and lock show it; we ourselves are its processes."""
    lock = StackLock(data)
    lock.acquire()
    states = {"broker": "ready", "index": "ready", "archive": "crash-loop"}
    run = StackRun(
        pid=os.getpid(),
        started_at=utc_now(),
        data_dir=str(data),
        gateway="http://127.0.0.1:8080",
        kafka="127.0.0.1:19092",
        chroma="",
        dagster="",
        services={
            name: ServiceRun(
                pid=os.getpid(), state=state, restarts=0, metrics_url="http://127.0.0.1:1", log="", note=note
            )
            for (name, state), note in zip(states.items(), ("", "", "disk full"), strict=True)
        },
    )
    run_file.write(data, run)
    yield run
    lock.release()


def invoke(*words: str):
    return CliRunner().invoke(app, list(words))


def test_status_of_no_stack_says_how_to_start_one():
    result = invoke("status")
    assert isinstance(result.exception, Unavailable)
    assert "mmplatform up" in str(result.exception)
    assert invoke("status", "--json").output == "null\n"


def test_status_after_a_crash_says_so(data, stack):
    run_file.write(data, stack.model_copy(update={"pid": 1}))
    assert "without stopping cleanly" in str(invoke("status").exception)


@pytest.mark.usefixtures("stack")
def test_status_shows_the_table_and_fails_when_a_service_was_given_up():
    result = invoke("status")
    assert result.exit_code == 1
    assert re.search(r"index +ready +0 +\d+ +\d+% +\d+ MB", result.output)
    assert "archive: disk full" in result.output
    assert "gateway  http://127.0.0.1:8080" in result.output


def test_status_for_programs_is_the_run_file_and_more(stack):
    found = json.loads(invoke("status", "--json").output)
    assert found["services"]["index"]["rss"] > 0
    assert found["services"]["index"]["status"] is None
    assert StackRun.model_validate(found) == stack


def test_down_without_a_stack_is_no_error():
    result = invoke("down")
    assert (result.exit_code, "no stack runs" in result.output) == (0, True)


@pytest.mark.usefixtures("stack")
def test_a_second_up_is_refused():
    for words in (("up",), ("up", "--detach")):
        result = invoke(*words)
        assert isinstance(result.exception, Permanent)
        assert f"pid {os.getpid()}" in str(result.exception)


def test_up_in_the_background_ends_with_who_is_down_when_the_broker_is_hopeless(data, monkeypatch):
    (data / "broker").touch()  # where its directory should be
    monkeypatch.setenv("MMPLATFORM_CHROMA_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("MMPLATFORM_GATEWAY_PORT", "0")
    try:
        result = invoke("up", "--detach", "--no-dagster", "--derivers", "chat=1,call=0,screenshot=0")
        assert isinstance(result.exception, Unavailable)
        assert "given up: broker; blocked by that: gateway, derive-chat, index, archive" in str(result.exception)
        assert "Then `mmplatform start-failed`." in result.output
        assert invoke("status").exit_code == 1
    finally:
        assert invoke("down").exit_code == 0


def test_up_refuses_a_wrong_count_of_derivers():
    assert isinstance(invoke("up", "--derivers", "video=1").exception, Misconfigured)


def test_retry_without_a_stack_says_how_to_start_one():
    assert isinstance(invoke("start-failed").exception, Unavailable)


def test_logs_of_all_are_named_and_of_one_are_plain(data):
    (data / "logs").mkdir()
    (data / "logs" / "broker.log").write_text("a\nb\n")
    (data / "logs" / "index.log").write_text("[red]c\n")
    assert invoke("logs", "-n", "1").output == "broker | b\nindex  | [red]c\n"
    assert invoke("logs", "broker").output == "a\nb\n"


def test_logs_of_an_unknown_service_name_the_known_ones(data):
    (data / "logs").mkdir()
    (data / "logs" / "broker.log").touch()
    result = invoke("logs", "brocker")
    assert isinstance(result.exception, Misconfigured)
    assert "broker" in str(result.exception)


def test_doctor_fails_with_a_mend_when_a_model_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("MMPLATFORM_MODELS_DIR", str(tmp_path / "none"))
    result = invoke("doctor")
    assert result.exit_code == 1
    assert "→ run `mmplatform models pull minilm`" in result.output


def test_doctor_is_content_when_all_is_there(monkeypatch, tmp_path):
    for limit in ("_MIN_DISK_BYTES", "_MIN_MEMORY_BYTES", "_MIN_OPEN_FILES"):
        monkeypatch.setattr(doctor, limit, 0)  # whatever this machine has is enough
    for name in ("whisper-base", "minilm", "rampart", "lid-176"):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "COMPLETE").touch()
    monkeypatch.setenv("MMPLATFORM_MODELS_DIR", str(tmp_path / "models"))
    result = invoke("doctor")
    assert result.exit_code == 0, result.output
    assert "failed" not in result.output


@pytest.mark.parametrize(
    ("words", "new"),
    [
        (["retry"], "mmplatform start-failed"),
        (["start"], "mmplatform start-failed"),
        (["down", "--patience", "9"], "--timeout"),
        (["topics", "--raise", "chat=8"], "--partitions"),
    ],
)
def test_an_old_verb_or_option_is_refused_with_its_new_name_and_hidden(words, new):
    refused = invoke(*words).exception
    assert isinstance(refused, Misconfigured)
    assert f"is now {new} " in str(refused).replace("`", "")
    listing = invoke("--help" if len(words) == 1 else words[0], *(["--help"] if len(words) > 1 else [])).output
    assert new.split()[-1] in listing
    assert not re.search(rf"(?<![\w-]){re.escape(words[min(len(words) - 1, 1)])}[\s│]", listing)
