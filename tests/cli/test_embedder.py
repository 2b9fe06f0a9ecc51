"""``mmplatform embedder`` over real stores: what it prints, and how it ends."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from mmplatform.cli.main import app
from mmplatform.derive.chat import ChatDeriver
from mmplatform.errors import Misconfigured, Rejected, Unavailable
from mmplatform.land.index.embedder_registry import EmbedderRegistry
from mmplatform.memo import MemoryMemo
from mmplatform.pipeline.embedder_swap import swap
from mmplatform.pipeline.factories import resolve_space
from tests.builders import chat
from tests.land.records import NOON, passage
from tests.pipeline.conftest import chroma, dual_write_index, embedder, index, lakehouse, redactor, settings
from tests.pipeline.stream import Stream

__all__ = ["chroma", "dual_write_index", "embedder", "index", "lakehouse", "redactor", "settings"]
pytestmark = pytest.mark.models
NEW = "minilm-fp32"


@pytest.fixture
def call(settings, monkeypatch):
    monkeypatch.setenv("MMPLATFORM_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("MMPLATFORM_CHROMA_URL", settings.chroma_url)
    monkeypatch.setattr(swap.EmbedderSwap.retire, "__kwdefaults__", {"candidate": False, "grace_s": 0.0})
    return lambda *words: CliRunner().invoke(app, ["embedder", *words])


def states(done):
    """``is`` and passages, by embedder."""
    assert done.exit_code == 0, done.output
    return {
        name.split("@")[0]: rest for name, *rest in (line.split() for line in done.output.splitlines()) if "@" in name
    }


def test_it_is_built_swapped_rolled_back_and_retired_by_one_verb_each(
    call, settings, index, lakehouse, dual_write_index, embedder, redactor
):
    first = call("status")
    assert states(first) == {"minilm": ["serving", "0"]}
    assert "nothing is recorded yet" in first.output
    EmbedderRegistry(index).ensure_serving(resolve_space(settings))
    chats = [chat(n, subject_id=f"cust-{n}", text=f"order {n} is late") for n in range(3)]
    Stream(lakehouse, dual_write_index).send(chats, ChatDeriver(embedder, redactor, MemoryMemo()))
    done = call("build", NEW, "--no-swap")
    assert done.exit_code == 0, done.output
    assert "3 passages: 3 written, 3 of them by the model, 0 deleted" in done.output
    assert states(call("status")) == {"minilm": ["serving", "3"], NEW: ["candidate", "3"]}
    assert f"{resolve_space(settings, NEW).name} serves" in call("swap").output
    assert states(call("status")) == {NEW: ["serving", "3"], "minilm": ["previous", "3"]}
    assert f"{resolve_space(settings).name} serves" in call("rollback").output
    assert f"deleted: the index of {resolve_space(settings, NEW).name}" in call("retire").output
    assert states(call("status")) == {"minilm": ["serving", "3"]}
    done = call("build", NEW)
    assert "3 written, 0 of them by the model" in done.output, "they are in the memo"
    assert f"{resolve_space(settings).name} receives all writes for a rollback" in done.output


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (("build", "nobody"), Misconfigured, "no model 'nobody'"),
        (("build", "minilm"), Rejected, "serves already"),
        (("swap",), Rejected, "no candidate"),
        (("rollback",), Rejected, "nothing to roll back to"),
        (("retire",), Rejected, "no previous embedder"),
        (("retire", "--candidate"), Rejected, "no candidate"),
    ],
)
def test_a_wrong_call_is_refused(call, words, error, message):
    done = call(*words)
    assert isinstance(done.exception, error)
    assert message in str(done.exception)


@pytest.mark.parametrize("words", [("status",), ("swap",), ("rollback",), ("retire",)])
def test_who_only_looks_or_has_nothing_to_do_decides_nothing(call, index, words):
    call(*words)
    assert EmbedderRegistry(index).latest() is None


def test_an_index_of_another_embedder_that_nobody_wrote_down_is_shown_and_is_no_base_for_a_build(call, index):
    index.upsert([passage(1, embedder="other@1")], NOON)
    assert states(call("status")) == {"minilm": ["serving", "0"], "other": ["unused", "1"]}
    done = call("build", NEW)
    assert isinstance(done.exception, Misconfigured)
    assert "MMPLATFORM_EMBEDDING_MODEL" in str(done.exception)
    assert EmbedderRegistry(index).latest() is None
    assert index.count() == 1


def test_without_an_index_it_says_how_to_get_one(tmp_path, monkeypatch):
    monkeypatch.setenv("MMPLATFORM_DATA_DIR", str(tmp_path))
    done = CliRunner().invoke(app, ["embedder", "status"])
    assert isinstance(done.exception, Unavailable)
    assert "mmplatform up" in str(done.exception)
