"""Events of version 1 become today's, and what is newer or none is refused by name."""

from __future__ import annotations

import json

import pytest

from mmplatform.errors import Rejected
from mmplatform.events import decode_event, encode
from mmplatform.upcast import upcast_event
from tests.builders import chat, chunk


def of_version_1(event, **changes):
    fields = json.loads(encode(event))
    fields.pop("tenant")
    if "blob" in fields:
        fields["blob"]["key"] = fields["blob"]["key"].removeprefix("default/")
    return json.dumps({**fields, "schema_version": 1, **changes}).encode()


def test_an_event_of_version_1_gets_the_tenant_and_keeps_the_rest():
    event = upcast_event(of_version_1(chat(1, source="crm")), "acme")
    assert (event.tenant, event.source, event.event_id, event.schema_version) == ("acme", "crm", "chat-1", 2)
    assert event == chat(1, source="crm", tenant="acme")


def test_a_blob_gets_the_tenant_in_its_key():
    old = chunk(3)
    assert upcast_event(of_version_1(old), "acme").blob.key == f"acme/{old.blob.key.removeprefix('default/')}"


def test_the_idle_watch_was_no_source():
    assert upcast_event(of_version_1(chunk(3), source="idle-watch"), "acme").source == ""


def test_an_event_of_today_stays_as_it_is():
    assert upcast_event(encode(chat(1)), "acme") == chat(1)


@pytest.mark.parametrize(
    "value", [b"{", b"[]", of_version_1(chat(1), schema_version=3), of_version_1(chat(1), kind="x")]
)
def test_what_no_upcaster_knows_is_refused_without_its_words(value):
    with pytest.raises(Rejected) as refused:
        upcast_event(value, "acme")
    assert "message number" not in str(refused.value)


@pytest.mark.parametrize("change", [{"kind": "chat_pinned"}, {"schema_version": 3}])
def test_a_record_of_a_later_release_is_parked_with_what_to_do(change):
    fields = json.loads(encode(chat(1))) | change
    with pytest.raises(Rejected, match="unknown kind or version: upgrade the workers, then redrive it"):
        decode_event(json.dumps(fields))


def test_a_field_that_this_release_does_not_know_is_kept_and_passed_on():
    fields = json.loads(encode(chat(1))) | {"sentiment": "annoyed"}
    event = decode_event(json.dumps(fields))
    assert json.loads(encode(event)) == fields
    assert event.digest != chat(1).digest, "it is content"
