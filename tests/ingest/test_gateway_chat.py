"""Chats through the gateway: accepted and refused messages, and one record for each event id."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmplatform.errors import Unavailable
from mmplatform.events import decode_event
from mmplatform.ingest.schemas import MAX_BATCH
from tests.ingest.gateways import SECRET, assert_problem, chat_body, memory_gateway


@pytest.fixture
async def gateway(tmp_path):
    async with memory_gateway(tmp_path, max_chat_chars=100) as gateway:
        yield gateway


async def post(gateway, body, **changes):
    return await gateway.http.post("/v1/events/chat", json=body, **changes)


async def raw(gateway, content, media_type="application/json"):
    return await gateway.http.post("/v1/events/chat", content=content, headers={"Content-Type": media_type})


async def test_a_message_is_on_the_log_when_it_is_answered(gateway):
    before = datetime.now(UTC)
    answer = await post(gateway, chat_body(event_time="2026-03-01T12:00:00+02:00", source="crm"))
    assert answer.status_code == 202
    [entry] = gateway.log.read("interactions.chat")
    assert answer.json() == {
        "event_id": "e1",
        "position": entry.position.model_dump(),
        "duplicate": False,
        "shed": False,
        "token": gateway.deps.tokens.sign(entry.position),
    }
    [event] = gateway.events()
    assert entry.key == "default/crm/c1"
    assert (event.uid, event.tenant, event.conversation_key) == (entry.headers["event"].decode(), "default", entry.key)
    assert event.event_time == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert event.event_time.tzinfo == UTC
    assert before <= event.ingested_at <= datetime.now(UTC)
    assert abs(entry.timestamp - event.ingested_at) < timedelta(milliseconds=2)
    assert (event.text, event.role, event.subject_id, event.source) == ("hello", "customer", "s1", "crm")


async def test_a_message_without_id_and_time_gets_both(gateway):
    body = chat_body()
    del body["event_id"]
    answers = [await post(gateway, body), await post(gateway, body)]
    ids = {answer.json()["event_id"] for answer in answers}
    assert len(ids) == 2
    assert all(event.event_time == event.ingested_at for event in gateway.events())


async def test_a_list_is_answered_in_its_order_and_written_in_it(gateway):
    bodies = [chat_body(event_id=f"e{i}", text=str(i)) for i in range(MAX_BATCH)]
    answer = await post(gateway, bodies)
    assert answer.status_code == 202
    assert [each["event_id"] for each in answer.json()] == [f"e{i}" for i in range(MAX_BATCH)]
    assert [event.text for event in gateway.events()] == [str(i) for i in range(MAX_BATCH)]


async def test_a_list_that_is_too_long_or_empty_is_refused(gateway):
    bodies = [chat_body(event_id=f"e{i}") for i in range(MAX_BATCH + 1)]
    assert_problem(await post(gateway, bodies), 413)
    assert_problem(await post(gateway, []), 422)
    assert gateway.events() == []


async def test_one_wrong_message_refuses_its_list_and_says_which(gateway):
    problem = assert_problem(await post(gateway, [chat_body(), chat_body(event_id="e2", role=SECRET)]), 422)
    assert problem["errors"][0]["field"] == "1.role"
    assert gateway.events() == []


async def test_a_repeated_message_is_a_duplicate_at_the_first_position(gateway):
    first = (await post(gateway, chat_body())).json()
    again = await post(gateway, chat_body())
    assert again.status_code == 202
    assert again.json() == first | {"duplicate": True}
    assert len(gateway.events()) == 1


async def test_a_repeated_message_with_another_time_is_a_duplicate(gateway):
    await post(gateway, chat_body(event_time="2026-03-01T12:00:00Z"))
    again = await post(gateway, chat_body(event_time="2026-03-01T12:00:07Z"))
    assert again.json()["duplicate"]
    assert [event.event_time.second for event in gateway.events()] == [0]


@pytest.mark.parametrize("change", [{"text": "other"}, {"subject_id": "s2"}, {"role": "bot"}])
async def test_other_content_under_a_known_id_is_a_conflict(gateway, change):
    await post(gateway, chat_body())
    assert_problem(await post(gateway, chat_body(**change)), 409)
    assert_problem(await post(gateway, [chat_body(event_id="e9"), chat_body(**change)]), 409)
    assert len(gateway.events()) == 1


@pytest.mark.parametrize("change", [{"conversation_id": "c2"}, {"source": "crm"}])
async def test_one_event_id_in_two_conversations_or_of_two_sources_is_two_events(gateway, change):
    bodies = [chat_body(), chat_body(text="another one", **change)]
    answers = [(await post(gateway, body)).json() for body in bodies]
    assert [answer["duplicate"] for answer in answers] == [False, False]
    assert {event.text for event in gateway.events()} == {"hello", "another one"}
    assert len({event.uid for event in gateway.events()}) == 2
    again = (await post(gateway, bodies)).json()
    assert again == [answer | {"duplicate": True} for answer in answers]
    assert_problem(await post(gateway, chat_body(text="a third one", **change)), 409)
    assert len(gateway.events()) == 2


async def test_one_event_id_in_200_conversations_at_once_is_200_events_on_the_log(gateway):
    bodies = [
        chat_body(conversation_id=f"c{n // 2}", source=("crm", "chat")[n % 2], text=f"number {n}") for n in range(200)
    ]
    answers = await asyncio.gather(*(post(gateway, body) for body in bodies))
    assert [answer.status_code for answer in answers] == [202] * 200
    assert not any(answer.json()["duplicate"] for answer in answers)
    assert {event.event_id for event in gateway.events()} == {"e1"}
    assert sorted(event.text for event in gateway.events()) == sorted(body["text"] for body in bodies)
    assert len({event.uid for event in gateway.events()}) == 200


async def test_a_list_with_one_id_in_two_conversations_contradicts_nothing(gateway):
    answer = await post(gateway, [chat_body(), chat_body(conversation_id="c2", text="another one")])
    assert answer.status_code == 202
    assert [row["duplicate"] for row in answer.json()] == [False, False]


async def test_the_tenant_and_the_generation_of_the_settings_are_in_the_event_and_in_the_answer(tmp_path):
    async with memory_gateway(tmp_path, tenant="acme", log_generation=3) as gateway:
        first = (await post(gateway, chat_body(source="crm"))).json()
        assert first["position"]["generation"] == 3
        assert (await post(gateway, chat_body(source="crm"))).json() == first | {"duplicate": True}
        [entry], [event] = gateway.log.read("interactions.chat"), gateway.events()
        assert (entry.key, entry.headers["tenant"], event.tenant) == ("acme/crm/c1", b"acme", "acme")


async def test_a_list_may_repeat_itself_but_not_contradict_itself(gateway):
    answer = await post(gateway, [chat_body(), chat_body()])
    assert [each["duplicate"] for each in answer.json()] == [False, True]
    assert_problem(await post(gateway, [chat_body(event_id="x"), chat_body(event_id="x", text="other")]), 409)
    assert len(gateway.events()) == 1


async def test_concurrent_posts_of_one_event_write_one_record(gateway):
    gateway.log.pending_acks = []
    posts = [asyncio.create_task(post(gateway, chat_body())) for _ in range(20)]
    await asyncio.to_thread(gateway.log.sent.wait, 10)
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in posts)
    gateway.log.release()
    answers = [answer.json() for answer in await asyncio.gather(*posts)]
    assert sorted(answer["duplicate"] for answer in answers) == [False] + [True] * 19
    assert len({json.dumps(answer["position"]) for answer in answers}) == 1
    assert len(gateway.events()) == 1


async def test_a_disconnected_caller_does_not_stop_the_write(gateway):
    gateway.log.pending_acks = []
    request_task = asyncio.create_task(post(gateway, chat_body()))
    await asyncio.to_thread(gateway.log.sent.wait, 10)
    request_task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request_task
    gateway.log.release()
    assert (await post(gateway, chat_body())).json()["duplicate"]
    assert len(gateway.events()) == 1


async def test_a_failed_write_is_not_cached_and_can_be_repeated(gateway):
    gateway.log.failure = Unavailable("the broker is away")
    answer = await post(gateway, chat_body())
    assert_problem(answer, 503)
    assert int(answer.headers["retry-after"]) >= 1
    gateway.log.failure = None
    assert not (await post(gateway, chat_body())).json()["duplicate"]


async def test_a_surge_is_throttled_before_the_next_observation_of_the_lag(tmp_path):
    async with memory_gateway(tmp_path, chat={"high_water": 3, "low_water": 1}) as gateway:
        for event_id in ("e1", "e1", "e1", "e2", "e3"):  # a repeat is no event more
            assert (await post(gateway, chat_body(event_id=event_id))).status_code == 202
        assert_problem(await post(gateway, chat_body(event_id="e4")), 429)
        assert len(gateway.events()) == 3


async def test_a_modality_that_is_behind_answers_429_and_the_others_go_on(gateway):
    gateway.deps.gates["chat"].observe(gateway.settings.chat.high_water)
    answer = await post(gateway, chat_body())
    assert_problem(answer, 429)
    assert int(answer.headers["retry-after"]) >= 1
    end = await gateway.http.post("/v1/calls/c1/end", json={"subject_id": "s1"})
    assert end.status_code == 202
    gateway.deps.gates["chat"].observe(gateway.settings.chat.low_water)
    assert (await post(gateway, chat_body())).status_code == 202


async def test_a_throttled_source_learns_the_backlog(gateway):
    gateway.deps.gates["chat"].observe(10**6, 12.34)
    body = (await post(gateway, chat_body())).json()
    low = gateway.settings.chat.low_water
    assert {name: body[name] for name in ("lag", "oldest_s", "low_water")} == {
        "lag": 10**6,
        "oldest_s": 12.3,
        "low_water": low,
    }


async def test_a_shed_event_is_stored_with_a_header_and_answered_as_shed(tmp_path):
    async with memory_gateway(
        tmp_path, chat={"backpressure_policy": "shed"}, call={"backpressure_policy": "shed"}
    ) as gateway:
        assert not (await post(gateway, chat_body())).json()["shed"]
        gateway.deps.gates["chat"].observe(10**9)
        gateway.deps.gates["call"].observe(10**9)
        assert (await post(gateway, chat_body(event_id="e2"))).json()["shed"]
        assert (await post(gateway, chat_body(event_id="e2"))).json()["duplicate"]
        gateway.deps.gates["chat"].observe(0)
        assert not (await post(gateway, chat_body(event_id="e3"))).json()["shed"]
        end = await gateway.http.post("/v1/calls/c1/end", json={"subject_id": "s1"})
        assert not end.json()["shed"], "without its end the call would stay open"
        entries = gateway.log.read("interactions.chat")
        assert {decode_event(entry.value).event_id: entry.headers.get("shed") for entry in entries} == {
            "e1": None,
            "e2": b"lag",
            "e3": None,
        }
        page = (await gateway.http.get("/metrics")).text
        assert 'mmplatform_gateway_shed_total{modality="chat"} 1.0' in page
        assert 'mmplatform_gateway_high_water_reached_total{modality="chat"} 1.0' in page


async def test_a_modality_that_buffers_accepts_everything_and_counts_it(tmp_path):
    async with memory_gateway(tmp_path, chat={"backpressure_policy": "buffer"}) as gateway:
        gateway.deps.gates["chat"].observe(10**9, 5.0)
        answer = await post(gateway, chat_body())
        assert (answer.status_code, answer.json()["shed"]) == (202, False)
        page = set((await gateway.http.get("/metrics")).text.splitlines())
        assert page >= {
            'mmplatform_gateway_buffered_total{modality="chat"} 1.0',
            'mmplatform_gateway_over_high_water{modality="chat",policy="buffer"} 1.0',
            'mmplatform_gateway_oldest_event_age_seconds{modality="chat"} 5.0',
        }


async def test_a_long_text_is_too_large(gateway):
    assert (await post(gateway, chat_body(text="ф" * 100))).status_code == 202
    assert_problem(await post(gateway, chat_body(event_id="e2", text="x" * 101)), 413)


async def test_the_future_is_refused_beyond_the_tolerance(gateway):
    soon = datetime.now(UTC) + timedelta(seconds=gateway.settings.max_future_s - 30)
    late = soon + timedelta(seconds=120)
    assert (await post(gateway, chat_body(event_time=soon.isoformat()))).status_code == 202
    assert_problem(await post(gateway, chat_body(event_id="e2", event_time=late.isoformat())), 422)


@pytest.mark.parametrize(
    "change",
    [
        {"event_time": "2026-03-01T12:00:00"},  # naive
        {"event_time": SECRET},
        {"event_time": "0001-01-01T00:00:00+14:00"},
        {"event_time": "9999-12-31T23:59:59-14:00"},
        {"event_time": "1969-12-31T23:59:59Z"},
        {"event_time": "1970-01-01T00:00:00Z"},
        {"event_time": "1999-12-31T23:59:59Z"},
        {"event_time": 0},
        {"text": ""},
        {"text": " \n\t "},
        {"text": "\u2003\x85\u3000"},
        {"text": "\x1c"},
        {"text": f"{SECRET}\x00"},
        {"text": {"no": SECRET}},
        {"event_id": ""},
        {"event_id": f"{SECRET}\x00"},
        {"event_id": "x" * 201},
        {"conversation_id": "a\nb"},
        {"subject_id": None},
        {"role": SECRET},
        {"source": "x" * 201},
        {"txt": SECRET},
        {SECRET: 1},
    ],
)
async def test_wrong_fields_are_refused_without_their_values(gateway, change):
    problem = assert_problem(await post(gateway, chat_body(**change)), 422)
    assert all(set(error) == {"field", "type", "detail"} for error in problem["errors"])
    assert gateway.events() == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense " + SECRET.encode(),
        b'{"text": "' + SECRET.encode(),
        b'"' + SECRET.encode() + b'"',
        b"null",
        b"\xff\xfe\x00",
        b"[" * 10_000,
        b'{"a":' * 10_000,
        b'{"event_id":"e","conversation_id":"c","subject_id":"s","role":"bot","text":"\\ud800"}',
        b'{"event_id":"\\udfff","conversation_id":"c","subject_id":"s","role":"bot","text":"x"}',
        b'{"event_id":NaN,"conversation_id":"c","subject_id":"s","role":"bot","text":"x"}',
        b"1" * 5_000,
    ],
)
async def test_nonsense_is_refused_without_an_echo(gateway, content):
    assert_problem(await raw(gateway, content), 422)
    assert gateway.events() == []


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "", "application/x-www-form-urlencoded"])
async def test_a_body_that_is_not_json_is_an_unsupported_media_type(gateway, media_type):
    assert_problem(await raw(gateway, json.dumps(chat_body()), media_type), 415)


async def test_a_compressed_body_is_not_accepted(gateway):
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert_problem(await gateway.http.post("/v1/events/chat", content=b"x", headers=headers), 415)


async def test_unknown_paths_and_methods_are_problems_too(gateway):
    assert_problem(await gateway.http.get("/nowhere"), 404)
    assert_problem(await gateway.http.get("/v1/events/chat"), 405)


async def test_an_unexpected_error_is_a_problem_without_details(gateway, monkeypatch):
    def explode(*_args, **_kwargs):
        raise RuntimeError(SECRET)

    monkeypatch.setattr(gateway.log, "send", explode)
    assert_problem(await post(gateway, chat_body()), 500)


identifiers = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=200)
texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), min_size=1, max_size=100).filter(
    str.strip  # a blank text is refused (422), which has a test of its own
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(event_id=identifiers, conversation=identifiers, subject=identifiers, text=texts)
def test_any_valid_message_is_stored_unchanged(tmp_path, event_id, conversation, subject, text):
    async def round_trip():
        async with memory_gateway(tmp_path) as gateway:
            body = chat_body(event_id=event_id, conversation_id=conversation, subject_id=subject, text=text)
            assert (await post(gateway, body)).status_code == 202
            [event] = gateway.events()
            assert event.model_dump(include=set(body)) == body

    asyncio.run(round_trip())


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
near_misses = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("event_id", "conversation_id", "subject_id", "role", "text", "event_time"), anything),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=60) | (anything | near_misses).map(lambda value: json.dumps(value).encode()))
def test_every_body_is_either_accepted_or_refused(tmp_path, body):
    async def post_body():
        async with memory_gateway(tmp_path) as gateway:
            answer = await raw(gateway, body)
            assert answer.status_code in {202, 422}
            if answer.status_code == 422:
                assert_problem(answer, 422)
                assert gateway.events() == []

    asyncio.run(post_body())
