"""``mmplatform redact`` with the real model: the text of a deriver, and an explanation without a value."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from mmplatform.cli.main import app
from mmplatform.errors import Misconfigured, Rejected
from mmplatform.land.blobs.open import open_blobs
from mmplatform.memo import MemoryMemo
from mmplatform.modalities import MODALITIES
from mmplatform.pipeline.factories import open_deriver, open_redactor
from mmplatform.settings import load

pytestmark = pytest.mark.models

CARD, MAIL, NAME = "4012 8888 8888 1881", "office@example.com", "Dana Whitfield"
TEXT = f"Hi, this is {NAME}, card {CARD}, {MAIL}"


@pytest.fixture(autouse=True)
def data(monkeypatch, tmp_path):
    monkeypatch.setenv("MMPLATFORM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture(autouse=True, scope="module")
def loaded_once():
    """The model is loaded once for all tests; its policy differs, so the verb gets a redactor by policy."""
    with pytest.MonkeyPatch.context() as patch:
        engines: dict[str, object] = {}

        def reuse(settings, modality="chat"):
            from mmplatform.derive.pii.policy_file import load_policy

            key = load_policy(settings.redaction_policy).version + modality
            if key not in engines:
                engines[key] = open_redactor(settings, modality)
            return engines[key]

        patch.setattr("mmplatform.pipeline.redaction_preview.open_redactor", reuse)
        yield


@pytest.fixture
def policy(monkeypatch, tmp_path):
    def use(text):
        file = tmp_path / "policy.yaml"
        file.write_text(text)
        monkeypatch.setenv("MMPLATFORM_REDACTION_POLICY", str(file))

    return use


def invoke(*words, text=None):
    result = CliRunner().invoke(app, ["redact", *words], input=text)
    assert result.exit_code == 0, result.exception
    return result.output


def test_the_text_comes_back_without_personal_data_from_a_pipe_and_from_a_file(tmp_path):
    file = tmp_path / "text.txt"
    file.write_text(TEXT + "\n")
    expected = "Hi, this is [PERSON], card [CARD], [EMAIL]\n"
    assert invoke(text=TEXT) == invoke("-", text=TEXT + "\n") == invoke(str(file)) == expected
    assert invoke(text="") == "\n"


def test_the_explanation_names_recognizer_span_reading_and_rule_and_never_a_value():
    output = invoke("--explain", text=f"{TEXT} or four one five five five five oh one two three, call me")
    rows = [" ".join(line.split()) for line in output.splitlines()]
    start = TEXT.index(CARD)
    assert f"text {start}-{start + len(CARD)} CARD find CARD 1.00 as written kind [CARD]" in rows
    assert any("PHONE find PHONE 1.00 number words as digits kind [PHONE]" in row for row in rows)
    for value in (*NAME.split(), CARD, MAIL, "1881", "4012", "four one"):
        assert value not in output


@pytest.mark.parametrize(
    ("modality", "text", "language", "coverage"),
    [
        ("chat", "where is my order? it has not arrived yet", "en", "full"),
        ("chat", "Xin chào, đơn hàng của tôi chưa đến", "vi", "language_independent"),
        ("screenshot", "Замовлення ще не прийшло\nПлатіж відхилено", "uk", "partial"),
        ("call", "注文はまだ届いていません", "ja", "partial"),
        ("chat", "ok", "", "unknown"),
    ],
)
def test_the_explanation_names_the_language_and_how_much_of_the_redaction_knows_it(modality, text, language, coverage):
    found = json.loads(invoke("--json", "--modality", modality, text=text))
    assert (found["language"], found["redaction_coverage"]) == (language, coverage)
    lines = " ".join(invoke("--explain", "--modality", modality, text=text).split())
    assert f"language {language or 'unknown'}" in lines
    assert f"coverage of the redaction: {coverage.replace('_', ' ')}" in lines


def test_json_has_the_text_the_versions_and_the_findings(policy):
    policy("version: 7\nentities: {CARD: last_four, PERSON: tag, EMAIL: keep}")
    found = json.loads(invoke("--json", text=TEXT))
    assert re.fullmatch(rf"Hi, this is \[PERSON [0-9a-f]{{4}}\], card \[CARD …1881\], {re.escape(MAIL)}", found["text"])
    assert found["policy"].startswith("7-")
    assert found["redactor"].endswith(found["policy"])
    actions = {row["entity"]: (row["action"], row["replacement"]) for row in found["findings"]}
    assert actions["CARD"] == ("last_four", "[CARD …1881]")
    assert actions["EMAIL"] == ("keep", "")
    assert actions["PERSON"][0] == "tag"
    assert invoke("--explain", text="all is well").count("no recognizer found anything") == 1


def test_a_kept_value_never_keeps_another_one_that_overlaps_it(policy):
    text = "mail dana@127.0.0.1 now"
    policy("version: 1\nentities: {}")
    hidden = json.loads(invoke("--json", text=text))
    assert {row["entity"] for row in hidden["findings"]} >= {"EMAIL"}
    policy("version: 1\nentities: {IP: keep, PERSON: keep}")
    assert "127" not in invoke(text=text)
    policy("version: 1\nentities: {EMAIL: keep, PERSON: keep}")
    kept = json.loads(invoke("--json", text=text))
    if any(row["entity"] == "IP" for row in kept["findings"]):
        assert "127" not in kept["text"]


def test_lines_of_a_call_and_of_a_screenshot_are_read_together(policy):
    policy("version: 1\nentities: {CARD: {call: last_four, screenshot: last_four}}")
    spoken = invoke("--modality", "call", text="my card is 4012 8888\n8888 1881\nthank you")
    assert re.fullmatch(r"my card is \[CARD\]\n\[(CARD|PHONE)\]\nthank you\n", spoken)
    lines = "Card number\n4012 8888\n8888 1881\nTotal"
    assert invoke("--modality", "screenshot", text=lines) == "Card number\n[CARD]\n[CARD]\nTotal\n"
    explained = invoke("--modality", "screenshot", "--explain", text=lines)
    assert "all lines" in explained
    assert invoke("--modality", "screenshot", text=f"Card\n{CARD}") == "Card\n[CARD …1881]\n"


def test_a_policy_with_a_mistake_and_a_file_that_is_no_text_are_refused(policy, tmp_path):
    def failure(*words, **given):
        result = CliRunner().invoke(app, ["redact", *words], **given)
        assert result.exit_code == 1
        return result.exception

    binary = tmp_path / "binary"
    binary.write_bytes(b"secret \xff")
    assert isinstance(failure(str(binary)), Rejected)
    assert "secret" not in str(failure(str(binary)))
    assert "cannot be read" in str(failure(str(tmp_path / "missing.txt")))
    policy("version: 1\nentities: {CARD: keep}")
    refused = failure("-", input=TEXT)
    assert isinstance(refused, Misconfigured)
    assert "line 2, column 18" in str(refused)
    assert CliRunner().invoke(app, ["redact", "--modality", "video"], input=TEXT).exit_code == 2


def test_neither_the_stack_nor_a_deriver_starts_with_a_mistake_in_the_policy(policy):
    policy("version: 1\nentities: {CVV: last_four}")
    refused = CliRunner().invoke(app, ["up"]).exception
    assert isinstance(refused, Misconfigured)
    assert "`last_four` is not allowed for CVV; allowed: kind" in str(refused)
    settings = load()
    for modality in MODALITIES:
        with pytest.raises(Misconfigured, match="line 2, column 17"):
            open_deriver(settings, modality, MemoryMemo(), open_blobs(settings))


def test_the_check_of_the_model_does_not_depend_on_what_the_policy_keeps(policy):
    policy("version: 1\nentities: {EMAIL: keep, PERSON: keep}")
    assert open_redactor(load()).redact([TEXT])[0].text == "Hi, this is [PERSON], card [CARD], [EMAIL]"
