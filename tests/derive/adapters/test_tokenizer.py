"""The tokenizer gives the ids and offsets of transformers, whatever the text, and cuts long texts as it does."""

from __future__ import annotations

import logging
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmplatform.derive.adapters.model_files import locate_model, silence_torch_warning
from mmplatform.derive.adapters.tokenizer import TOKENIZER_FILE, TextTokenizer
from mmplatform.settings import load

pytestmark = pytest.mark.models
MAX_TOKENS, OVERLAP_TOKENS = 32, 8
LONG_TEXT = "My name is Zoë O'Brien-Núñez, 私の支払いは三回失敗しました。 " * 20


@pytest.fixture(scope="module", params=["minilm", "rampart"])
def directory(request):
    return locate_model(request.param, load().models_path)


@pytest.fixture(scope="module")
def reference(directory):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(directory, local_files_only=True)


@pytest.fixture(scope="module")
def tokenizer(directory):
    return TextTokenizer(directory, max_tokens=MAX_TOKENS, overlap_tokens=OVERLAP_TOKENS)


def assert_equal_parts(tokenizer, reference, texts):
    expected = reference(
        texts,
        truncation=True,
        max_length=MAX_TOKENS,
        stride=OVERLAP_TOKENS,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    parts = list(tokenizer.encode_parts(texts))
    assert [part.text for part in parts] == expected["overflow_to_sample_mapping"]
    assert [list(part.ids) for part in parts] == expected["input_ids"]
    assert [list(part.offsets) for part in parts] == expected["offset_mapping"]


@settings(max_examples=50)
@given(st.lists(st.text(max_size=200), min_size=1, max_size=5))
def test_any_text_gets_the_tokens_of_transformers(tokenizer, reference, texts):
    assert_equal_parts(tokenizer, reference, texts)


def test_a_long_text_is_read_in_the_same_parts(tokenizer, reference):
    assert len(list(tokenizer.encode_parts([LONG_TEXT]))) > 2
    assert_equal_parts(tokenizer, reference, ["short", LONG_TEXT, "", "[CLS] [SEP]"])


def test_the_start_of_a_text_has_one_part(tokenizer, reference):
    [short, long] = tokenizer.encode(["short", LONG_TEXT])
    expected = reference(["short", LONG_TEXT], truncation=True, max_length=MAX_TOKENS)["input_ids"]
    assert [list(short.ids), list(long.ids)] == expected
    assert len(long.ids) == MAX_TOKENS


def test_a_directory_without_the_library_s_file_is_converted(directory, tmp_path, tokenizer):
    copy = tmp_path / "older"
    copy.mkdir()
    for file in directory.iterdir():
        if file.is_file() and file.suffix in {".json", ".txt"} and file.name != TOKENIZER_FILE:
            shutil.copy(file, copy / file.name)
    older = TextTokenizer(copy, max_tokens=MAX_TOKENS, overlap_tokens=OVERLAP_TOKENS)
    assert list(older.encode_parts([LONG_TEXT])) == list(tokenizer.encode_parts([LONG_TEXT]))


def test_missing_torch_is_not_logged_by_the_conversion(caplog):
    silence_torch_warning()
    logging.getLogger("transformers").warning("PyTorch was not found. Models won't be available")
    logging.getLogger("transformers").warning("something else")
    assert "PyTorch" not in caplog.text
    assert "something else" in caplog.text
