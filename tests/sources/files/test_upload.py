"""Files through the real client into a gateway over doubles: the report must equal the events on the log."""

from __future__ import annotations

import io
import json
import os
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import av
import httpx
import numpy as np
import pytest

from mmplatform.client.client import AsyncGatewayClient
from mmplatform.derive.media.audio import split
from mmplatform.sources.files.discovery import UploadDefaults, plan_upload
from mmplatform.sources.files.upload import CallPlayback, Uploader
from tests.ingest.gateways import memory_gateway, picture, wav

CHAT = {"conversation_id": "c1", "subject_id": "s1", "role": "customer", "text": "hello"}
DEFAULTS = UploadDefaults(subject_id="s1")


@pytest.fixture
async def gateway(tmp_path):
    async with memory_gateway(tmp_path / "gateway", max_chat_chars=100) as gateway:
        yield gateway


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


async def send(gateway, paths, defaults=DEFAULTS, playback=None, transport=None, **options):
    client = AsyncGatewayClient("http://gateway", transport=transport or gateway.transport, max_attempts=1)
    async with client:
        return await Uploader(
            client, defaults, split, playback=playback or CallPlayback(chunk_s=0.5), **options
        ).upload(plan_upload(paths))


def set_modified_at(path, moment):
    os.utime(path, (moment.timestamp(), moment.timestamp()))


def encoded(container, codec, seconds=1.2, rate=16_000):
    """A tone in a compressed format, by FFmpeg."""
    out = io.BytesIO()
    tone = np.sin(np.arange(round(seconds * rate)) * 440 * 2 * np.pi / rate) * 9_000
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone.astype(np.int16)[None, :], format="s16", layout="mono")
        frame.sample_rate = rate
        fifo = av.AudioResampler(
            format=stream.codec_context.format.name, layout="mono", rate=rate, frame_size=stream.frame_size or 1024
        )
        for each in [*fifo.resample(frame), *fifo.resample(None)]:
            file.mux(stream.encode(each))
        file.mux(stream.encode(None))
    return out.getvalue()


def counts(report):
    return dict(report.accepted), dict(report.duplicate), len(report.rejected)


async def test_every_kind_of_file_arrives_and_a_repeated_upload_changes_nothing(gateway, folder):
    (folder / "chat.jsonl").write_text("".join(json.dumps(CHAT | {"text": f"m{i}"}) + "\n" for i in range(250)))
    (folder / "shot.png").write_bytes(picture())
    (folder / "shot.webp").write_bytes(picture("WEBP", seed=2))
    (folder / "call.wav").write_bytes(wav(seconds=1.2))
    done = []
    report = await send(gateway, [folder], advance=done.append)
    assert counts(report) == ({"chats": 250, "screenshot": 2, "call": 4}, {}, 0)
    assert sum(done) == plan_upload([folder]).size
    assert [event.text for event in gateway.events("chat")] == [f"m{i}" for i in range(250)]
    assert len(gateway.events("screenshot")) == 2
    again = await send(gateway, [folder])
    assert counts(again) == ({}, {"chats": 250, "screenshot": 2, "call": 4}, 0)
    assert len(gateway.events("chat") + gateway.events("screenshot") + gateway.events("call")) == 256


@pytest.mark.parametrize(
    ("name", "container", "codec"),
    [("a.mp3", "mp3", "libmp3lame"), ("a.flac", "flac", "flac"), ("a.ogg", "ogg", "libopus"),
     ("a.opus", "ogg", "libopus"), ("a.m4a", "mp4", "aac")],
)  # fmt: skip
async def test_every_kind_of_audio_becomes_chunks_without_gaps(gateway, folder, name, container, codec):
    (folder / name).write_bytes(encoded(container, codec, rate=48_000))
    report = await send(gateway, [folder])
    assert report.rejected == []
    *chunks, end = gateway.events("call")
    assert [chunk.chunk_index for chunk in chunks] == list(range(len(chunks)))
    for before, after in pairwise(chunks):
        assert after.start_s == pytest.approx(before.end_s, abs=1e-3)
    assert chunks[-1].end_s == pytest.approx(1.2, abs=0.1)
    assert end.chunks == len(chunks)


async def test_a_given_time_is_the_start_of_the_call(gateway, folder):
    (folder / "call.wav").write_bytes(wav(seconds=1.2))
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    await send(gateway, [folder], UploadDefaults(subject_id="s1", event_time=at))
    spans = [event.event_time - at for event in gateway.events("call")]
    assert spans == [timedelta(seconds=s) for s in (0.5, 1.0, 1.2, 1.2)]


async def test_a_repeated_upload_to_a_restarted_gateway_is_identical(tmp_path, folder):
    """The index is written by id: a repeat with another time would move existing passages."""
    at = datetime(2026, 2, 3, 4, 5, 6, 250_000, tzinfo=UTC)
    (folder / "chat.jsonl").write_text("".join(json.dumps(CHAT | {"text": f"m{i}"}) + "\n" for i in range(3)))
    (folder / "shot.png").write_bytes(picture())
    (folder / "call.wav").write_bytes(wav(seconds=1.2))
    for path in folder.iterdir():
        set_modified_at(path, at)
    events_sent = []
    for number in range(2):
        async with memory_gateway(tmp_path / f"gateway{number}") as gateway:
            await send(gateway, [folder])
            events = gateway.events("chat") + gateway.events("screenshot") + gateway.events("call")
            events_sent.append([event.model_dump(exclude={"ingested_at"}) for event in events])
    assert events_sent[0] == events_sent[1]
    times = [event["event_time"] - at for event in events_sent[0]]
    # A call's file was last written at its end, so none of its chunks is ahead of the clock.
    assert times[:4] == [timedelta()] * 4
    assert times[4:] == [timedelta(seconds=s) for s in (-0.7, -0.2, 0, 0)]


async def test_media_with_an_implausible_file_time_need_a_given_one(gateway, folder):
    (folder / "shot.png").write_bytes(picture())
    (folder / "call.wav").write_bytes(wav(seconds=1.2))
    for path in folder.iterdir():
        set_modified_at(path, datetime(1980, 1, 1, tzinfo=UTC))  # as an archive without times leaves it
    report = await send(gateway, [folder])
    assert ["--at" in rejection.reason for _, rejection in report.rejected] == [True, True]
    report = await send(gateway, [folder], UploadDefaults(subject_id="s1", event_time=datetime(2026, 1, 1, tzinfo=UTC)))
    assert report.rejected == []


async def test_a_call_in_real_time_is_sent_when_it_was_spoken(gateway, folder):
    (folder / "call.wav").write_bytes(wav(seconds=1.2))
    started = datetime.now(UTC)
    await send(gateway, [folder], playback=CallPlayback(speed=2.0, chunk_s=0.5))
    *chunks, _ = gateway.events("call")
    # Never before its last sample was spoken, at twice the speed; how much later depends on the machine.
    assert all(chunk.event_time - started >= timedelta(seconds=chunk.end_s / 2) for chunk in chunks)


async def test_progress_is_reported_chunk_by_chunk_and_reaches_the_total(gateway, folder):
    (folder / "call.wav").write_bytes(wav(seconds=4.0))
    done = []
    await send(gateway, [folder], advance=done.append)
    size = plan_upload([folder]).size
    assert sum(done) == pytest.approx(size)
    assert len(done) == 8
    assert all(step == pytest.approx(size / 8) for step in done)
    rows = "".join(json.dumps(CHAT | {"text": f"m{i}"}) + "\n" for i in range(1_000))
    (folder / "call.wav").unlink()
    (folder / "chat.jsonl").write_text(rows)
    done.clear()
    await send(gateway, [folder], advance=done.append)
    assert len(done) == 10
    assert sum(done) == plan_upload([folder]).size


async def test_a_rejected_file_counts_as_processed(gateway, folder):
    (folder / "a.png").write_bytes(b"no image")
    (folder / "b.wav").write_bytes(b"no audio")
    (folder / "c.wav").write_bytes(wav(seconds=1.2)[:9_000])
    (folder / "d.jsonl").write_text("nonsense\n" * 300)
    done = []
    report = await send(gateway, [folder], advance=done.append)
    assert len(report.rejected) >= 302
    assert sum(done) == pytest.approx(plan_upload([folder]).size)
    done.clear()
    await send(gateway, [folder], UploadDefaults(), advance=done.append)
    assert sum(done) == pytest.approx(plan_upload([folder]).size)


class BusyAtFirst(httpx.AsyncBaseTransport):
    """The gateway, which answers 429 so many times before it accepts a request."""

    def __init__(self, gateway, times):
        self.times = times
        self._transport = gateway.transport

    async def handle_async_request(self, request):
        if self.times > 0:
            self.times -= 1
            return httpx.Response(429, headers={"Retry-After": "0.001"}, json={"detail": "behind"})
        return await self._transport.handle_async_request(request)


async def test_a_busy_gateway_is_waited_for_and_nothing_is_left_out(gateway, folder):
    (folder / "chat.jsonl").write_text(json.dumps(CHAT) + "\n")
    (folder / "shot.png").write_bytes(picture())
    (folder / "call.wav").write_bytes(wav(seconds=1.2))
    report = await send(gateway, [folder], transport=BusyAtFirst(gateway, 60))
    assert counts(report) == ({"chats": 1, "screenshot": 1, "call": 4}, {}, 0)


async def test_a_gateway_that_accepts_nothing_for_too_long_is_given_up(gateway, folder):
    for number in range(3):
        (folder / f"{number}.png").write_bytes(picture(seed=number))
    report = await send(gateway, [folder], transport=BusyAtFirst(gateway, 10**9), busy_timeout_s=0.05)
    assert len(report.rejected) == 3
    assert all("not sent" in rejection.reason and "behind" in rejection.reason for _, rejection in report.rejected)


async def test_every_rejection_is_a_line_of_json_and_counts_all_lost_lines(gateway, folder):
    stray = ['c,s,bot,"5 inch', *(f"c,s,bot,m{i}" for i in range(9))]
    (folder / "chat.csv").write_text("\n".join(["conversation_id,subject_id,role,text", "c,s,bot,fine", *stray]))
    (folder / "shot.png").write_bytes(b"no image")
    report = await send(gateway, [folder])
    assert report.count_rejected("chats") == 10
    chats, shot = (json.loads(line) for line in report.rejections_as_json_lines())
    assert (chats["kind"], chats["line"], chats["lines"]) == ("chats", 3, 10)
    assert chats["reason"].startswith("lines 3 to 12: ")
    assert (shot["path"], shot["line"]) == (str(folder / "shot.png"), None)


async def test_bad_lines_are_rejected_and_good_ones_of_the_same_batch_accepted(gateway, folder):
    rows = [CHAT | {"text": f"m{i}"} for i in range(8)]
    rows[2]["text"] = "x" * 101  # the gateway's limit
    rows[5]["event_time"] = "2999-01-01T00:00:00Z"  # the gateway's clock
    rows[6]["role"] = "nobody"  # known without the gateway
    (folder / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = await send(gateway, [folder])
    assert report.accepted["chats"] == 5
    rejected = {rejection.line: rejection.reason for _, rejection in report.rejected}
    assert set(rejected) == {3, 6, 7}
    assert "413" in rejected[3]
    assert "ahead of the gateway's clock" in rejected[6]
    assert [event.text for event in gateway.events("chat")] == ["m0", "m1", "m3", "m4", "m7"]


async def test_undecodable_media_is_rejected_with_the_gateways_reason_and_the_rest_continues(gateway, folder):
    (folder / "a.png").write_bytes(b"no image")
    (folder / "b.wav").write_bytes(b"no audio")
    (folder / "c.png").write_bytes(picture())
    report = await send(gateway, [folder])
    assert report.accepted == {"screenshot": 1}
    assert {(kind, rejection.path.name) for kind, rejection in report.rejected} == {
        ("screenshot", "a.png"),
        ("call", "b.wav"),
    }
    assert all(rejection.reason for _, rejection in report.rejected)


async def test_media_without_a_subject_is_rejected(gateway, folder):
    (folder / "a.png").write_bytes(picture())
    (folder / "b.wav").write_bytes(wav())
    report = await send(gateway, [folder], UploadDefaults())
    assert ["--subject" in rejection.reason for _, rejection in report.rejected] == [True, True]


async def test_a_conversation_names_one_call_and_any_number_of_pictures(gateway, folder):
    (folder / "a.png").write_bytes(picture())
    (folder / "b.png").write_bytes(picture(seed=2))
    (folder / "call.wav").write_bytes(wav())
    await send(gateway, [folder], UploadDefaults(subject_id="s1", conversation_id="c7"))
    events = gateway.events("screenshot") + gateway.events("call")
    assert {event.conversation_id for event in events} == {"c7"}
    (folder / "other.wav").write_bytes(wav(seed=3))
    report = await send(gateway, [folder], UploadDefaults(subject_id="s1", conversation_id="c7"))
    assert ["one call" in rejection.reason for _, rejection in report.rejected] == [True, True]


async def test_the_same_file_about_another_subject_is_another_event(gateway, folder):
    (folder / "a.png").write_bytes(picture())
    (folder / "call.wav").write_bytes(wav())
    for subject in ("s1", "s2"):
        report = await send(gateway, [folder], UploadDefaults(subject_id=subject))
        assert not report.duplicate
    assert len({event.event_id for event in gateway.events("screenshot") + gateway.events("call")}) == 6


async def test_when_the_gateway_is_unavailable_nothing_more_is_tried_and_every_file_is_reported(gateway, folder):
    asked = []

    def away(request):
        asked.append(request)
        raise httpx.ConnectError("away")

    for number in range(20):
        (folder / f"{number}.png").write_bytes(picture(seed=number))
    report = await send(gateway, [folder], transport=httpx.MockTransport(away))
    assert len(report.rejected) == 20
    assert all("not sent" in rejection.reason for _, rejection in report.rejected)
    assert len(asked) <= 4


CHANGES = [
    {"kind": "chat_edited", "message_id": "m1", "text": "new", "revision": 7},
    {"kind": "chat_deleted", "message_id": "m1"},
    {"kind": "chat_redacted", "message_id": 17, "event_id": "r1"},
]


async def test_edits_deletions_and_redactions_are_records_of_a_chat_file(gateway, folder):
    rows = [CHAT | {"event_id": "m1", "kind": "chat_message"}, *({**CHAT, "role": "", **row} for row in CHANGES[:1])]
    rows += [{"conversation_id": "c1", **row} for row in CHANGES[1:]]
    path = folder / "chats.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    report = await send(gateway, [path])
    assert (report.rejected, report.remarks) == ([], [])
    message, edited, deleted, redacted = gateway.events("chat")
    assert (edited.kind, edited.message_uid, edited.text, edited.revision) == ("chat_edited", message.uid, "new", 7)
    assert (deleted.kind, deleted.message_id) == ("chat_deleted", "m1")
    assert (redacted.kind, redacted.message_id, redacted.event_id) == ("chat_redacted", "17", "r1")
    again = await send(gateway, [path])
    assert again.duplicate["chats"] == 4


async def test_a_table_of_a_chat_may_have_changes(gateway, folder):
    path = folder / "chats.csv"
    path.write_text(
        "kind,event_id,message_id,conversation_id,role,text\n"
        "chat_message,m1,,c1,customer,old\n"
        "chat_edited,,m1,c1,,new\n"
        "chat_deleted,,m1,c1,,\n"
    )
    report = await send(gateway, [path])
    assert report.rejected == []
    assert [event.kind for event in gateway.events("chat")] == ["chat_message", "chat_edited", "chat_deleted"]


async def test_a_file_that_begins_with_a_change_is_a_chat(gateway, folder):
    path = folder / "changes.json"
    path.write_text(json.dumps([CHANGES[0] | {"conversation_id": "c1"}]))
    assert (await send(gateway, [path])).rejected == []
    assert [event.kind for event in gateway.events("chat")] == ["chat_edited"]
