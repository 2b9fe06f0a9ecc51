"""Edits, deletions and redactions through the gateway: on the message's conversation, with ids of their own."""

from __future__ import annotations

import pytest

from mmplatform.client.client import AsyncGatewayClient
from mmplatform.ingest.schemas import ChatBody, DeleteBody, EditBody, RedactBody
from tests.ingest.gateways import assert_problem, chat_body, memory_gateway

OWNER = {"conversation_id": "c1", "subject_id": "s1"}


@pytest.fixture
async def gateway(tmp_path):
    async with memory_gateway(tmp_path, max_chat_chars=100) as gateway:
        yield gateway


async def put(gateway, message_id, **fields):
    return await gateway.http.put(f"/v1/events/chat/{message_id}", json=OWNER | fields)


async def delete(gateway, message_id, **fields):
    return await gateway.http.delete(f"/v1/events/chat/{message_id}", params=OWNER | fields)


async def test_an_edit_is_on_the_log_beside_its_message(gateway):
    await gateway.http.post("/v1/events/chat", json=chat_body())
    answer = await put(gateway, "e1", text="hello again", revision=3)
    assert answer.status_code == 202
    message, edit = gateway.events()
    assert (edit.kind, edit.message_id, edit.text, edit.revision) == ("chat_edited", "e1", "hello again", 3)
    assert edit.message_uid == message.uid
    assert edit.uid != message.uid
    assert len({entry.key for entry in gateway.log.read("interactions.chat")}) == 1


async def test_a_repeated_edit_of_one_revision_is_a_duplicate_and_another_text_under_it_a_conflict(gateway):
    first = (await put(gateway, "e1", text="new", revision=3)).json()
    assert (await put(gateway, "e1", text="new", revision=3)).json() == first | {"duplicate": True}
    assert_problem(await put(gateway, "e1", text="newer", revision=3), 409)
    assert (await put(gateway, "e2", text="new", revision=3)).json()["duplicate"] is False
    assert len(gateway.events()) == 2


async def test_a_deletion_that_named_a_wrong_subject_is_corrected_by_another(gateway):
    assert (await delete(gateway, "e1", subject_id="somebody")).status_code == 202
    assert (await delete(gateway, "e1")).status_code == 202
    assert [event.subject_id for event in gateway.events()] == ["somebody", "s1"]


@pytest.mark.parametrize("send", [put, delete])
async def test_a_change_with_the_id_of_its_message_is_refused_by_name(gateway, send):
    fields = {"text": "new"} if send is put else {}
    problem = assert_problem(await send(gateway, "e1", event_id="e1", **fields), 422)
    assert "e1" in str(problem)
    assert gateway.events() == []


async def test_edits_without_a_revision_are_different_edits(gateway):
    for text in ("a", "b", "a"):
        assert (await put(gateway, "e1", text=text)).status_code == 202
    assert [event.text for event in gateway.events()] == ["a", "b", "a"]


@pytest.mark.parametrize(("fields", "kind"), [({}, "chat_deleted"), ({"redact": "true"}, "chat_redacted")])
async def test_a_deletion_is_accepted_once(gateway, fields, kind):
    first = (await delete(gateway, "e1", **fields)).json()
    assert (await delete(gateway, "e1", **fields)).json() == first | {"duplicate": True}
    [event] = gateway.events()
    assert (event.kind, event.message_id, event.revision) == (kind, "e1", None)


async def test_an_id_with_a_slash_names_its_message(gateway):
    await put(gateway, "a%2Fb", text="new")
    await delete(gateway, "a%2Fb")
    assert [event.message_id for event in gateway.events()] == ["a/b", "a/b"]


async def test_a_list_has_messages_and_changes_in_its_order(gateway):
    bodies = [
        chat_body(),
        OWNER | {"kind": "chat_edited", "message_id": "e1", "text": "new"},
        OWNER | {"kind": "chat_deleted", "message_id": "e1", "revision": 5},
        OWNER | {"kind": "chat_redacted", "message_id": "e1", "event_id": "r1"},
    ]
    answer = await gateway.http.post("/v1/events/chat", json=bodies)
    assert answer.status_code == 202
    assert [event.kind for event in gateway.events()] == [
        "chat_message",
        "chat_edited",
        "chat_deleted",
        "chat_redacted",
    ]
    assert answer.json()[3]["event_id"] == "r1"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (OWNER | {"kind": "chat_edited", "text": "new"}, "message_id"),
        (OWNER | {"kind": "chat_edited", "message_id": "e1"}, "text"),
        (OWNER | {"kind": "chat_deleted", "message_id": "e1", "text": "none"}, "text"),
        (OWNER | {"kind": "chat_deleted", "message_id": "e1", "revision": -1}, "revision"),
        (OWNER | {"kind": "chat_moved", "message_id": "e1"}, "kind"),
    ],
)
async def test_a_wrong_change_is_refused_with_the_name_of_its_field(gateway, body, field):
    assert assert_problem(await gateway.http.post("/v1/events/chat", json=body), 422)["errors"][0]["field"] == field
    in_list = assert_problem(await gateway.http.post("/v1/events/chat", json=[chat_body(), body]), 422)
    assert in_list["errors"][0]["field"] == f"1.{field}"
    assert gateway.events() == []


async def test_an_edit_is_as_long_as_a_message_may_be(gateway):
    assert_problem(await put(gateway, "e1", text="x" * 101), 413)
    assert_problem(await put(gateway, "e1", text=" "), 422)
    assert gateway.events() == []


async def test_the_client_sends_what_the_endpoints_accept(gateway):
    client = AsyncGatewayClient("http://gateway", transport=gateway.transport)
    await client.chat(event_id="m/1", role="customer", text="old", **OWNER)
    await client.edit_chat("m/1", text="new", revision=2, **OWNER)
    await client.edit_chat("m/1", text="newest", **OWNER)
    await client.delete_chat("m/1", **OWNER)
    await client.delete_chat("m/1", redact=True, revision=9, **OWNER)
    await client.chats(
        [
            ChatBody(event_id="m2", role="bot", text="hi", **OWNER),
            EditBody(message_id="m2", text="hello", **OWNER),
            DeleteBody(message_id="m2", **OWNER),
            RedactBody(message_id="m2", **OWNER),
        ]
    )
    assert [(event.kind, getattr(event, "message_id", event.event_id)) for event in gateway.events()] == [
        ("chat_message", "m/1"),
        ("chat_edited", "m/1"),
        ("chat_edited", "m/1"),
        ("chat_deleted", "m/1"),
        ("chat_redacted", "m/1"),
        ("chat_message", "m2"),
        ("chat_edited", "m2"),
        ("chat_deleted", "m2"),
        ("chat_redacted", "m2"),
    ]
    assert [event.revision for event in gateway.events()[1:5]] == [2, None, None, 9]
