"""What ends in a log, in a process of its own, since logging is set up for a process."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

SECRET = "4111-1111-1111-1111"
SET_UP = """
import logging, sys, threading
import structlog
from mmplatform.errors import Unavailable
from mmplatform.settings import load
from mmplatform.telemetry.logs import configure_logging
configure_logging(load(log_format="{form}"), worker="w")
SECRET = "4111-1111-1111-1111"

def fail():
    try:
        int(SECRET)
    except ValueError as error:
        raise RuntimeError(SECRET) from error
"""


def logged(code, form="console"):
    program = SET_UP.format(form=form) + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("form", ["console", "json"])
@pytest.mark.parametrize(
    "code",
    [
        """
        try: fail()
        except RuntimeError: structlog.get_logger().exception("it stumbled")
        """,
        """
        try: fail()
        except RuntimeError: logging.getLogger("uvicorn.error").exception("it stumbled")
        """,
        """
        structlog.get_logger().error("it stumbled")
        fail()
        """,
        """
        structlog.get_logger().error("it stumbled")
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        """,
    ],
)
def test_an_unforeseen_error_is_reported_by_type_and_place_and_never_by_its_message(code, form):
    text = logged(code, form)
    assert SECRET not in text
    assert "it stumbled" in text
    assert "ValueError" in text
    assert "RuntimeError" in text
    assert "in fail" in text


def test_an_error_that_quotes_nothing_keeps_its_message():
    text = logged("raise Unavailable('nobody at broker:9092')")
    assert text.rstrip().endswith("Unavailable: nobody at broker:9092")
    assert "No module named 'nowhere'" in logged("import nowhere")
    assert "No such file or directory" in logged("open('/nowhere')")


def lines_of(text):
    """Every line as JSON: one that is none fails here."""
    return [json.loads(line) for line in text.splitlines()]


def test_where_json_is_chosen_every_line_is_json_also_a_librarys_a_warning_and_an_end():
    found = lines_of(
        logged(
            """
            import warnings
            structlog.get_logger().warning("ours", event_id="e1")
            logging.getLogger("uvicorn.error").error("theirs")
            warnings.warn("old")
            try: fail()
            except RuntimeError: logging.getLogger("quixstreams").exception("it stumbled")
            thread = threading.Thread(target=fail, name="side")
            thread.start()
            thread.join()
            fail()
            """,
            "json",
        )
    )
    assert [line["event"] for line in found if "logger" not in line] == ["ours", "a thread ends", "the process ends"]
    assert [line["logger"] for line in found if "logger" in line] == ["uvicorn.error", "py.warnings", "quixstreams"]
    assert all(line["worker"] == "w" and line["timestamp"] and line["level"] for line in found)
    assert all("in fail" in line["exception"] for line in found if line["event"] in {"a thread ends", "it stumbled"})
