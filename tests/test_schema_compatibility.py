"""What breaks a reader of the log is refused, and what does not is let through."""

from __future__ import annotations

import copy

import pytest

from mmplatform.artifacts import artifact_schema
from mmplatform.events import event_schema
from tools.schema_compatibility import breaking_changes

CHAT = "ChatMessage"


def changed(change):
    schema = copy.deepcopy(event_schema())
    change(schema["$defs"])
    return schema


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda defs: defs[CHAT]["properties"].pop("text"), "chat_message.text is gone"),
        (lambda defs: defs[CHAT]["required"].append("language"), "chat_message.language is required now"),
        (lambda defs: defs[CHAT]["properties"]["text"].update(type="integer"), "chat_message.text has another type"),
        (lambda defs: defs[CHAT]["properties"]["role"]["enum"].remove("bot"), "chat_message.role has fewer values"),
        (
            lambda defs: defs[CHAT]["properties"]["text"].update(maxLength=9),
            "chat_message.text has a narrower maxLength",
        ),
        (lambda defs: defs["BlobRef"]["properties"].pop("sha256"), "call_chunk.blob.sha256 is gone"),
    ],
)
def test_a_change_that_breaks_a_reader_is_named(change, named):
    assert named in breaking_changes(event_schema(), changed(change))


def test_a_kind_that_is_gone_is_named():
    fewer = copy.deepcopy(event_schema())
    fewer["oneOf"] = fewer["oneOf"][1:]
    assert any(change.endswith("is gone") for change in breaking_changes(event_schema(), fewer))


@pytest.mark.parametrize(
    "change",
    [
        lambda defs: defs[CHAT]["properties"].update(language={"type": "string", "default": ""}),
        lambda defs: defs[CHAT]["properties"]["role"]["enum"].append("supervisor"),
        lambda defs: defs[CHAT]["properties"]["text"].update(description="another one"),
        lambda defs: defs[CHAT]["properties"]["schema_version"].update(const=3) or defs[CHAT]["properties"].pop("text"),
    ],
)
def test_an_optional_field_a_further_value_and_a_raised_version_break_nothing(change):
    assert breaking_changes(event_schema(), changed(change)) == []


@pytest.mark.parametrize("schema", [event_schema, artifact_schema])
def test_a_schema_is_compatible_with_itself(schema):
    assert breaking_changes(schema(), schema()) == []
