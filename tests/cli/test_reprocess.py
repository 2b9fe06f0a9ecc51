"""``mmplatform reprocess`` over real stores: what it prints, and how it ends."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from mmplatform.cli.main import app
from mmplatform.derive.chat import ChatDeriver
from mmplatform.errors import Misconfigured, Rejected, Unavailable
from mmplatform.land.blobs.open import open_blobs
from mmplatform.memo import MemoryMemo
from mmplatform.pipeline.factories import open_replacements, screenshot_deriver
from mmplatform.settings import load
from tests.builders import chat, screenshot
from tests.pipeline.conftest import chroma, embedder, index, lakehouse, redactor, settings
from tests.pipeline.stream import Published, Stream, apply_changes

__all__ = ["chroma", "embedder", "index", "lakehouse", "redactor", "settings"]
HOUR = "2026-08-01-10:00"


@pytest.fixture
def call(settings, monkeypatch):
    apply_changes(monkeypatch, Published())
    monkeypatch.setenv("MMPLATFORM_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("MMPLATFORM_CHROMA_URL", settings.chroma_url)
    return lambda *words: CliRunner().invoke(app, ["reprocess", *words])


@pytest.mark.models
def test_it_says_what_became_of_the_hour(call, monkeypatch, lakehouse, index, embedder, redactor):
    stream = Stream(lakehouse, index)
    apply_changes(monkeypatch, stream)
    stream.send(
        [chat(0), chat(1, text=" ")], ChatDeriver(embedder, redactor, MemoryMemo(), open_replacements(load(), "chat"))
    )
    index.delete(list(index.ids()))
    done = call("messages", HOUR)
    assert done.exit_code == 0, done.output
    assert "2 events read, 1 quarantined; index: 1 upserted, 0 deleted" in done.output
    [row] = [line.split() for line in done.output.splitlines() if line.startswith("messages ")]
    assert row == ["messages", "1", "0", "0", "0", "0", "0"]
    assert "0 upserted, 0 deleted" in call("messages", HOUR).output


@pytest.mark.models
def test_an_empty_hour_says_so(call):
    done = call("messages", HOUR)
    assert done.exit_code == 0
    assert "no raw rows in that hour" in done.output


@pytest.mark.models
def test_a_missing_image_is_named_and_the_exit_code_is_one(call, settings, lakehouse, index):
    shots = screenshot_deriver(settings, MemoryMemo(), open_blobs(settings))
    Stream(lakehouse, index).send([screenshot(3)], shots)
    done = call("captions", HOUR)
    assert done.exit_code == 1
    assert "shot-3" in done.output


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (("raw_chats", HOUR), Rejected, "cannot be reprocessed"),
        (("messages", "yesterday"), Rejected, "is no hour"),
        (("messages", "2999-01-01-00:00"), Rejected, "has not begun"),
        (("messages", HOUR, "--asr-model", "x"), Misconfigured, "made without asr_model"),
        (("captions", HOUR, "--ner-model", "nobody"), Misconfigured, "no model 'nobody'"),
    ],
)
def test_a_wrong_call_is_refused_before_anything_is_opened(call, settings, words, error, message):
    done = call(*words)
    assert isinstance(done.exception, error)
    assert message in str(done.exception)
    assert not (settings.data_dir / "lakehouse").exists()


def test_without_an_index_it_says_how_to_get_one(tmp_path, monkeypatch):
    monkeypatch.setenv("MMPLATFORM_DATA_DIR", str(tmp_path))
    done = CliRunner().invoke(app, ["reprocess", "messages", HOUR])
    assert isinstance(done.exception, Unavailable)
    assert "mmplatform up" in str(done.exception)
