"""Makes everything in this folder again, the same each time, from the story, the HTML pages and two programs.

    python -m examples.make_examples [--only chat|others|call|screenshots] [--out DIRECTORY]

`chat` (with case.json and questions.json) and `others` need only Python; `call` needs flite; `screenshots` needs
chromium and its fonts: apt-get install flite chromium fonts-inter fonts-liberation
"""

import argparse
import json
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from examples.make import story
from examples.make.others import other_chats

HERE = Path(__file__).parent
CASE = "payment-failed"
LINE_WIDTH = 110
PARTS = ("chat", "others", "call", "screenshots")


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 1 when a needed program is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, action="append", help="this part only; repeatable")
    parser.add_argument("--out", type=Path, default=HERE, help="where to write (default: this folder)")
    options = parser.parse_args(arguments)
    out: Path = options.out
    (out / CASE / "screenshots").mkdir(parents=True, exist_ok=True)
    try:
        for part in options.only or PARTS:
            MAKERS[part](out)
            print(f"{part}: made in {out}")
    except RuntimeError as error:
        print(f"not everything was made: {error}", file=sys.stderr)
        return 1
    return 0


def make_chat(out: Path) -> None:
    """The case's chat, its questions, and the manifest of what to stream."""
    case = out / CASE
    messages: list[dict[str, Any]] = [
        {
            "event_id": story.message_id(number),
            "conversation_id": story.CHAT_ID,
            "subject_id": story.SUBJECT_ID,
            "offset_s": line.offset_s,
            "role": line.role,
            "text": line.text,
        }
        for number, line in enumerate(story.CHAT, start=1)
    ]
    write_lines(case / "chat.jsonl", messages)
    write_json(case / "questions.json", story.QUESTIONS)
    write_json(case / "case.json", _manifest())
    pii = {m["event_id"]: kinds for m in messages if (kinds := _pii_kinds(m["text"]))}
    _add_truth(case, "chat", {"file": "chat.jsonl", "messages": len(messages), "pii": pii})


def make_others(out: Path) -> None:
    """The chats of other customers."""
    write_lines(out / "others.jsonl", other_chats())


def make_call(out: Path) -> None:
    """The phone call and its utterances."""
    from examples.make import speech

    case = out / CASE
    spoken = speech.record_call(story.CALL, case / "call.flac")
    rate, samples = speech.read_audio(case / "call.flac")
    utterances = [
        {
            "id": story.utterance_id(number),
            "role": said.role,
            "channel": speech.CHANNELS.index(said.role),
            "start_s": said.start_s,
            "end_s": said.end_s,
            "text": said.text,
            "pii": _pii_kinds(said.text),
        }
        for number, said in enumerate(spoken, start=1)
    ]
    truth = {
        "file": "call.flac",
        "sample_rate_hz": rate,
        "channels": list(speech.CHANNELS),
        "duration_s": round(samples.shape[1] / rate, 3),
        "synthesizer": speech.flite_version(),
        "voices": speech.VOICES,
        "utterances": utterances,
    }
    _add_truth(case, "call", truth)


def make_screenshots(out: Path) -> None:
    """The screenshots, and what each shows."""
    from examples.make import screens

    case = out / CASE
    if out != HERE:
        shutil.copytree(HERE / CASE / "screens", case / "screens", dirs_exist_ok=True)
    shown = screens.photograph(story.SCREENS, case / "screens", case / "screenshots")
    truth = [
        {
            "event_id": story.screenshot_id(screen.name),
            "file": f"screenshots/{screen.name}.png",
            **shown[screen.name],
            "pii": sorted({k for line in shown[screen.name]["lines"] for k in _pii_kinds(line["text"])}),
        }
        for screen in story.SCREENS
    ]
    _add_truth(case, "screenshots", truth)


MAKERS = {"chat": make_chat, "others": make_others, "call": make_call, "screenshots": make_screenshots}


def _manifest() -> dict[str, Any]:
    common = {"subject_id": story.SUBJECT_ID}
    return {
        "title": "A payment that failed three times",
        **common,
        "customer": story.CUSTOMER_NAME,
        "synthetic": True,
        "chat": {"file": "chat.jsonl", "conversation_id": story.CHAT_ID},
        "screenshots": [
            {
                "event_id": story.screenshot_id(screen.name),
                "conversation_id": story.CHAT_ID,
                **common,
                "offset_s": screen.offset_s,
                "file": f"screenshots/{screen.name}.png",
                "media_type": "image/png",
            }
            for screen in story.SCREENS
        ],
        "call": {
            "call_id": story.CALL_ID,
            "conversation_id": story.CALL_ID,
            **common,
            "offset_s": 0,
            "file": "call.flac",
            "media_type": "audio/flac",
            "speakers": ["agent", "customer"],
            "ask_at_s": 53,  # where the agent says: I see the chat and the screenshot
        },
        "pii": {kind: list(values) for kind, values in story.PII.items()},
    }


def _pii_kinds(text: str) -> list[str]:
    return sorted(kind for kind, values in story.PII.items() if any(value in text for value in values))


def _add_truth(case: Path, part: str, truth: Any) -> None:
    path = case / "ground_truth.json"
    known = json.loads(path.read_text("utf-8")) if path.exists() else {}
    write_json(path, dict(sorted({**known, part: truth}.items())))


def write_json(path: Path, value: Any) -> None:
    """Indented, but with short lists on one line each, so that boxes and ids stay readable."""
    path.write_text(_dump(value, 0) + "\n", "utf-8")


def write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object per line."""
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")


def _dump(value: Any, depth: int) -> str:
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list | tuple) or len(flat) + 2 * depth <= LINE_WIDTH:
        return flat
    pad, end = "  " * (depth + 1), "  " * depth
    if isinstance(value, dict):
        inner = ",\n".join(f"{pad}{json.dumps(key)}: {_dump(item, depth + 1)}" for key, item in value.items())
        return f"{{\n{inner}\n{end}}}"
    return "[\n" + ",\n".join(pad + _dump(item, depth + 1) for item in value) + f"\n{end}]"


if __name__ == "__main__":
    sys.exit(main())
