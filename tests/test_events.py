"""Events: what identifies one, what tells its content apart, and which fields a reader keeps."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmplatform.errors import Rejected
from mmplatform.events import decode_event, encode
from mmplatform.identity import conversation_key, conversation_of_key, event_uid, subject_key
from mmplatform.refusals import decode_quarantine_record
from mmplatform.versions import NO_VERSION, Version
from tests.builders import NOW, blob, call_end, chat, chunk, screenshot

EVENTS = (chat(), chunk(), call_end(), screenshot())
PART = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
COUNT = st.integers(0, 2**63 - 1)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_an_unknown_field_of_an_event_on_the_log_is_kept_and_written_again(event):
    fields = json.loads(encode(event)) | {"added_later": {"of": ["a later", "release"]}}
    if "blob" in fields:
        fields["blob"]["added_later"] = 7
    read = decode_event(json.dumps(fields))
    assert json.loads(encode(read)) == fields
    assert read.uid == event.uid


@pytest.mark.parametrize("version", [1, 3, "2", None])
def test_an_event_of_another_major_version_is_refused(version):
    fields = json.loads(encode(chat())) | {"schema_version": version}
    with pytest.raises(Rejected, match="an event of an unknown kind or version"):
        decode_event(json.dumps(fields))


def test_an_event_is_identified_by_tenant_source_conversation_and_id():
    changes = [{}, {"tenant": "acme"}, {"source": "crm"}, {"conversation_id": "conv-2"}, {"event_id": "chat-2"}]
    assert len({chat(**change).uid for change in changes}) == len(changes)
    assert chat().uid == chat(text="another one", event_time=NOW + timedelta(days=1)).uid
    event = chat(tenant="acme", source="crm")
    assert event.uid == event_uid("acme", "crm", "conv-1", "chat-0")
    assert (event.conversation_key, event.subject_key) == ("acme/crm/conv-1", "acme/cust-1")


def test_identities_never_change():
    """They name rows that exist: another value here orphans all of them."""
    assert event_uid("default", "crm", "c1", "e1") == "202e06c8296af5cecdc9f83ce0b19a4c"
    assert chat().digest == "234e60be566f928b6678c7b72f125422"


@given(parts=st.tuples(PART, PART, PART, PART), others=st.tuples(PART, PART, PART, PART))
def test_two_identities_are_equal_only_when_all_their_parts_are(parts, others):
    assert (event_uid(*parts) == event_uid(*others)) == (parts == others)


@given(parts=st.tuples(PART, PART, PART), others=st.tuples(PART, PART, PART))
def test_a_conversation_key_is_unambiguous_and_names_its_conversation(parts, others):
    assert (conversation_key(*parts) == conversation_key(*others)) == (parts == others)
    assert conversation_of_key(conversation_key(*parts)) == parts[2]


def test_a_slash_in_an_id_does_not_make_two_conversations_one():
    assert conversation_key("default", "a/b", "c") == "default/a%2Fb/c" != conversation_key("default", "a", "b/c")
    assert subject_key("default", "ann") != subject_key("acme", "ann")


@pytest.mark.parametrize(
    "change",
    [
        {"event_time": NOW + timedelta(days=1)},
        {"ingested_at": NOW + timedelta(days=1)},
        {"event_id": "chat-2"},
        {"conversation_id": "conv-2"},
        {"source": "crm"},
        {"tenant": "acme"},
    ],
)
def test_the_digest_does_not_follow_identity_and_times(change):
    assert chat(**change).digest == chat().digest


@pytest.mark.parametrize("change", [{"text": "another one"}, {"role": "bot"}, {"subject_id": "zoe"}, {"later": 1}])
def test_the_digest_follows_the_content(change):
    assert chat(**change).digest != chat().digest


def test_the_digest_of_a_chunk_follows_its_bytes_and_its_place_in_the_call():
    changes = [{}, {"blob": blob(b"other")}, {"start_s": 3.0}, {"chunk_index": 4}, {"speakers": ("agent",)}]
    assert len({chunk(**change).digest for change in changes}) == len(changes)
    assert chunk(duration_s=1.001, sample_rate=16000).digest == chunk().digest, "the bytes tell both anyway"


@pytest.mark.parametrize("tenant", ["", "Acme", "a b", "a/b", "-acme", "x" * 64, "ф"])
def test_a_tenant_is_a_word_that_paths_and_headers_can_hold(tenant):
    fields = json.loads(encode(chat())) | {"tenant": tenant}
    with pytest.raises(Rejected, match="tenant"):
        decode_event(json.dumps(fields))


@given(
    versions=st.lists(
        st.tuples(st.integers(0, 10**10 - 1), st.integers(0, 10**16 - 1), COUNT, st.integers(0, 10**16 - 1)), min_size=1
    )
)
def test_versions_as_text_have_the_order_of_versions(versions):
    built = [Version(*parts) for parts in versions]
    assert sorted(built) == sorted(built, key=lambda version: version.sortable)
    assert all(Version.from_sortable(version.sortable) == version for version in built)
    assert all(version.sortable > NO_VERSION for version in built)


def test_a_version_grows_by_revision_generation_offset_and_derivation_in_this_order():
    rising = [Version(), Version(derivation=9), Version(offset=1), Version(generation=1), Version(revision=1)]
    assert rising == sorted(rising)


def test_a_quarantine_record_is_read_by_its_kind_with_its_unknown_fields():
    common = {
        "quarantine_id": "0" * 32,
        "modality": "chat",
        "conversation_id": "c1",
        "event_id": "e1",
        "subject_id": "s1",
        "event_time": NOW.isoformat(),
        "quarantined_at": NOW.isoformat(),
        "position": {"topic": "interactions.chat", "topic_partition": 0, "offset": 7, "generation": 2},
        "added_later": 1,
    }
    row = decode_quarantine_record(
        json.dumps(common | {"kind": "quarantined", "contract": "chat", "reasons": ["the text is blank"]})
    )
    released = decode_quarantine_record(json.dumps(common | {"kind": "released", "derivation": 5}))
    assert row.version == Version(0, 2, 7, 0) < released.version == Version(0, 2, 7, 5)
    assert row.event_uid == event_uid("default", "", "c1", "e1")
    assert json.loads(encode(released))["added_later"] == 1
    with pytest.raises(Rejected, match="a quarantine row"):
        decode_quarantine_record(json.dumps(common | {"kind": "dead_letter"}))
