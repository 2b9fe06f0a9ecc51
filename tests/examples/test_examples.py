"""The sample case is whole, and its ground truth is true of its files. Needs neither flite nor a browser."""

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from examples import make_examples
from examples.make.speech import read_audio

EXAMPLES = Path(__file__).parents[2] / "examples"
CASE = EXAMPLES / "payment-failed"
FIELDS = {"event_id", "conversation_id", "subject_id", "offset_s", "role", "text"}


def load(name: str) -> Any:
    return json.loads((CASE / name).read_text("utf-8"))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def level_db(samples: np.ndarray) -> float:
    return float(20 * np.log10(np.sqrt(np.mean((samples / 32768.0) ** 2)) + 1e-9))


def passes_luhn(digits: str) -> bool:
    doubled = [int(d) * (2 if place % 2 else 1) for place, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


@pytest.fixture(scope="module")
def truth() -> dict[str, Any]:
    return load("ground_truth.json")


@pytest.fixture(scope="module")
def call(truth: dict[str, Any]) -> tuple[int, np.ndarray]:
    return read_audio(CASE / truth["call"]["file"])


@pytest.mark.parametrize("path", [CASE / "chat.jsonl", EXAMPLES / "others.jsonl"], ids=["case", "others"])
def test_chat_messages_are_complete_unique_and_in_order_within_a_conversation(path: Path) -> None:
    messages = lines(path)
    assert all(set(m) >= FIELDS and m["text"].strip() for m in messages)
    assert {m["role"] for m in messages} == {"customer", "bot", "agent"}
    assert len({m["event_id"] for m in messages}) == len(messages)
    for conversation in {m["conversation_id"] for m in messages}:
        offsets = [m["offset_s"] for m in messages if m["conversation_id"] == conversation]
        assert offsets == sorted(set(offsets))
        assert offsets[-1] < 0, "a message of the future"


def test_the_others_are_twenty_other_customers_and_say_that_they_are_synthetic() -> None:
    messages = lines(EXAMPLES / "others.jsonl")
    subjects = {m["subject_id"] for m in messages}
    assert len(messages) == 120
    assert len(subjects) == 20
    assert load("case.json")["subject_id"] not in subjects
    assert all(m["synthetic"] is True for m in messages)
    assert not any("{" in m["text"] or "3-D Secure" in m["text"] for m in messages)


def test_the_case_files_exist_and_the_ground_truth_covers_each(truth: dict[str, Any]) -> None:
    case = load("case.json")
    assert {f.name for f in (CASE / "screenshots").iterdir()} == {Path(s["file"]).name for s in case["screenshots"]}
    assert [s["event_id"] for s in case["screenshots"]] == [s["event_id"] for s in truth["screenshots"]]
    assert [s["file"] for s in case["screenshots"]] == [s["file"] for s in truth["screenshots"]]
    assert case["call"]["file"] == truth["call"]["file"]
    assert case["call"]["speakers"] == truth["call"]["channels"]
    assert truth["chat"]["messages"] == len(lines(CASE / "chat.jsonl"))
    ids = {case["subject_id"]} | {s["subject_id"] for s in case["screenshots"]} | {case["call"]["subject_id"]}
    assert ids == {m["subject_id"] for m in lines(CASE / "chat.jsonl")}


def test_personal_data_of_each_kind_is_where_the_ground_truth_says(truth: dict[str, Any]) -> None:
    values = load("case.json")["pii"]
    for message in lines(CASE / "chat.jsonl"):
        found = {kind for kind, forms in values.items() if any(form in message["text"] for form in forms)}
        assert found == set(truth["chat"]["pii"].get(message["event_id"], []))
    assert {kind for kinds in truth["chat"]["pii"].values() for kind in kinds} == {"card", "phone", "email"}
    assert {kind for shot in truth["screenshots"] for kind in shot["pii"]} == {"card", "phone", "email"}
    assert [kind for said in truth["call"]["utterances"] for kind in said["pii"]] == ["phone"]


def test_the_card_number_in_the_chat_passes_the_luhn_test() -> None:
    text = " ".join(m["text"] for m in lines(CASE / "chat.jsonl"))
    numbers = [re.sub(r"\D", "", n) for n in re.findall(r"\b(?:\d{4} ){3}\d{4}\b", text)]
    assert numbers
    assert all(passes_luhn(n) for n in numbers)


def test_each_screenshot_decodes_with_its_stated_size_and_its_boxes_lie_inside(truth: dict[str, Any]) -> None:
    for shot in truth["screenshots"]:
        with Image.open(CASE / shot["file"]) as image:
            image.load()
            assert (image.format, image.size) == ("PNG", (shot["width"], shot["height"]))
        assert shot["heading"]
        assert shot["buttons"]
        for left, top, right, bottom in [shot["alert"]["box"], *(line["box"] for line in shot["lines"])]:
            assert 0 <= left < right <= shot["width"]
            assert 0 <= top < bottom <= shot["height"]


def test_something_is_painted_where_the_ground_truth_has_text(truth: dict[str, Any]) -> None:
    for shot in truth["screenshots"]:
        with Image.open(CASE / shot["file"]) as image:
            for line in shot["lines"]:
                darkest, lightest = image.crop(tuple(line["box"])).convert("L").getextrema()
                assert lightest - darkest > 40, f"nothing to read at {line}"


def test_the_call_has_the_stated_rate_channels_and_duration(
    truth: dict[str, Any], call: tuple[int, np.ndarray]
) -> None:
    rate, samples = call
    assert rate == truth["call"]["sample_rate_hz"]
    assert samples.shape[0] == len(truth["call"]["channels"]) == 2
    assert samples.shape[1] / rate == pytest.approx(truth["call"]["duration_s"], abs=0.001)
    assert 70 <= truth["call"]["duration_s"] <= 90


def test_there_is_speech_where_the_ground_truth_says_and_silence_elsewhere(
    truth: dict[str, Any], call: tuple[int, np.ndarray]
) -> None:
    rate, samples = call
    silent = np.ones(samples.shape, dtype=bool)
    for said in truth["call"]["utterances"]:
        first, last = round(said["start_s"] * rate), round(said["end_s"] * rate)
        own = samples[said["channel"]]
        assert level_db(own[first:last]) > -30, f"{said['id']} is not to be heard"
        edge = round(0.05 * rate)
        assert level_db(own[first : first + edge]) > -55, f"{said['id']} starts later than stated"
        assert level_db(own[last - edge : last]) > -55, f"{said['id']} ends earlier than stated"
        ring = round(0.25 * rate)  # sounds too faint for the telephone fade out within this
        silent[said["channel"], max(0, first - ring) : last + ring] = False
    for channel in range(2):
        assert silent[channel].any()
        assert level_db(samples[channel][silent[channel]]) < -60


def test_the_call_is_a_conversation_with_pauses_and_at_most_one_short_overlap(truth: dict[str, Any]) -> None:
    utterances = truth["call"]["utterances"]
    gaps = [after["start_s"] - before["end_s"] for before, after in pairwise(utterances)]
    overlaps = [gap for gap in gaps if gap < 0]
    assert len(overlaps) <= 1
    assert min(gaps) > -0.5
    assert max(gaps) > 2
    assert {said["role"] for said in utterances} == {"agent", "customer"}
    assert all(truth["call"]["channels"][said["channel"]] == said["role"] for said in utterances)


def test_each_question_expects_sources_that_exist_and_together_they_need_every_modality(truth: dict[str, Any]) -> None:
    known = {
        "chat": {m["event_id"] for m in lines(CASE / "chat.jsonl")},
        "screenshot": {s["event_id"] for s in truth["screenshots"]},
        "call": {u["id"] for u in truth["call"]["utterances"]},
    }
    questions = load("questions.json")
    assert len(questions) == 3
    assert {modality for q in questions for modality in q["expected"]} == set(known)
    for question in questions:
        assert question["question"].endswith("?")
        for modality, ids in question["expected"].items():
            assert ids
            assert set(ids) <= known[modality]


def test_files_made_by_python_alone_are_reproduced_byte_for_byte(tmp_path: Path) -> None:
    assert make_examples.main(["--only", "chat", "--only", "others", "--out", str(tmp_path)]) == 0
    for name in (
        "others.jsonl",
        "payment-failed/chat.jsonl",
        "payment-failed/case.json",
        "payment-failed/questions.json",
    ):
        assert (tmp_path / name).read_bytes() == (EXAMPLES / name).read_bytes(), f"{name} is not what the program makes"


@pytest.mark.parametrize(("part", "program"), [("call", "flite"), ("screenshots", "chromium")])
def test_a_missing_program_is_named_together_with_the_way_to_get_it(
    part: str, program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert make_examples.main(["--only", part, "--out", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert program in told
    assert "apt-get install" in told


def test_the_sample_data_stays_small() -> None:
    assert sum(f.stat().st_size for f in EXAMPLES.rglob("*") if f.is_file()) < 6_000_000
