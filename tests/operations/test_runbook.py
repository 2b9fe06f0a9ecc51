"""The recipes of docs/how-to/runbook.md, run as they stand there, against a stack to which it really happens."""

from __future__ import annotations

import json
import os
import signal
from datetime import UTC, datetime, timedelta

import pytest

from mmplatform.kafka.connection import client_config
from mmplatform.kafka.reader import ReplayLog
from mmplatform.land.lakehouse.schemas import SPECS
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import CHAT, DEAD_LETTERS_TOPIC, TABLES
from tests.operations.page import assert_seen, on_demand, recipes, run
from tests.waiting import eventually, eventually_equal

pytestmark = [pytest.mark.system, pytest.mark.stack, pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(600)]
SUBJECTS = 3
CHATS = 24
POISON = b"no JSON, and 4111 1111 1111 1111 in it"


@pytest.fixture(scope="module")
def filled(stack):
    """The stack with chats in it, of two hours, that are found and archived; and how to run a recipe on it."""
    now = datetime.now(UTC)
    with stack.client() as client:
        for number in range(CHATS):
            client.chat(
                conversation_id=f"runbook-{number % 5}",
                subject_id=f"runbook-{number % SUBJECTS}",
                role="customer",
                text=f"parcel {number} has not come",
                event_id=f"runbook-{number}",
                event_time=now - timedelta(hours=number % 2),
            )
    eventually(lambda: sum(map(len, found(stack).values())) == CHATS, within_s=120)
    stack.settle()
    return stack


def follow(stack, title: str) -> str:
    """Run a recipe; everything that it said."""
    page = recipes()
    (common,) = page[""]
    environment = {
        "DATA": str(stack.settings.data_dir),
        "MMPLATFORM_DATA_DIR": str(stack.settings.data_dir),
        "GATEWAY": stack.now().gateway,
        "KAFKA": stack.now().kafka,
    }
    outputs = []
    assert page[title]
    for step in page[title]:
        outputs.append(run(step, common.commands, **environment))
        assert_seen(step, outputs[-1])
    return "\n".join(outputs)


def found(stack) -> dict[str, set[str]]:
    return {
        f"runbook-{number}": {(hit["passage_id"], hit["text"]) for hit in stack.passages(f"runbook-{number}").values()}
        for number in range(SUBJECTS)
    }


def records_by_table(stack) -> dict[str, dict[str, str]]:
    """The record of each id, by table."""
    lakehouse = Lakehouse.open(stack.addressed)
    return {
        table: {row[SPECS[table].id_column]: row["record"] for row in lakehouse.scan(table).to_pylist()}
        for table in TABLES
    }


@on_demand
@pytest.mark.parametrize("title", ["Where to look first", "The lag grows", "The disk fills"])
def test_the_output_of_read_only_recipes_is_as_the_page_shows_it(filled, title):
    follow(filled, title)


def test_a_poison_message_is_named_redriven_once_and_never_shown(filled):
    from confluent_kafka import Producer

    def letters():
        """About events: other tests leave letters about artifacts and quarantined events."""
        found = (json.loads(entry.value)["position"] for entry in ReplayLog(filled.addressed).read(DEAD_LETTERS_TOPIC))
        return [place for place in found if place["topic"].startswith("interactions.")]

    before = len(letters())
    producer = Producer(client_config(filled.addressed))
    producer.produce(CHAT.topic, value=POISON)
    assert producer.flush(30) == 0

    eventually(lambda: len(letters()) == before + 1, within_s=120)
    said = follow(filled, "A poison message")
    assert said.count(" redriven to interactions.") == before + 1
    assert "4111" not in said
    # Read again, they are what they were: new letters, about their second places. The first ones stay as they are.
    eventually_equal(lambda: len(letters()), 2 * (before + 1), within_s=120)
    assert follow(filled, "A poison message").count(" redriven to interactions.") == before + 1


def test_a_lost_index_is_as_it_was_and_no_model_ran(filled):
    before = found(filled)
    follow(filled, "The index is lost")
    assert found(filled) == before


def test_a_lost_lakehouse_is_as_it_was(filled):
    filled.settle()
    before = records_by_table(filled)
    archived = {json.loads(record)["event_id"] for record in before["raw_chats"].values()}
    assert archived >= {f"runbook-{number}" for number in range(CHATS)}
    follow(filled, "The lakehouse is lost")
    assert records_by_table(filled) == before
    rows = Lakehouse.open(filled.addressed).table("passages").scan(selected_fields=("artifact_id",)).to_arrow()
    assert rows.num_rows == len(before["passages"])


@on_demand
def test_a_worker_in_a_crash_loop_is_given_up_reported_and_started_again(filled):
    def state():
        service = filled.now().services["archive"]
        if service.pid is not None:
            try:
                os.kill(service.pid, signal.SIGKILL)
            except ProcessLookupError:
                return service.state
        return service.state

    eventually(lambda: state() == "crash-loop", within_s=120)
    follow(filled, "A worker loops")


@on_demand
def test_a_wrong_clock_is_checked_together_with_every_store_and_model(filled):
    said = follow(filled, "The clock is wrong")
    tried = [line for line in said.splitlines() if "canary" in line or "answers" in line or "files of" in line]
    assert len(tried) >= 10
    assert [line for line in tried if not line.startswith("ok")] == []


def test_every_recipe_of_the_page_is_run_here():
    run_here = {
        "",
        "Where to look first",
        "The lag grows",
        "The tail is not current",  # without a command: tests/retrieve/tail and tests/integration/test_tail.py
        "A receipt claimed too much",  # both: tests/pipeline/canary and tests/integration/test_canaries.py
        "A canary is missing",
        "A worker loops",
        "The disk fills",
        "The index is lost",
        "The lakehouse is lost",
        "A poison message",
        "A change of a chat waits",  # its run: tests/pipeline/reprocess/test_chat_changes.py
        "The clock is wrong",
    }
    assert set(recipes()) == run_here
