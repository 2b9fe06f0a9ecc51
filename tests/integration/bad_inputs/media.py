"""Bad and odd calls and screenshots."""

from __future__ import annotations

from typing import Any

from mmplatform.identity import DEFAULT_TENANT, conversation_key
from mmplatform.modalities import CALL, SCREENSHOT
from tests import builders
from tests.integration.bad_inputs import odd_media as odd
from tests.integration.bad_inputs.rows import Doors, Found, Quarantined, Refused, Row, Stored, fresh

UNREADABLE = Refused(422, "rejected")
DELETED = Quarantined("blob", "erased, tiered away or never put")
CONFLICT = Quarantined("raw_calls", "other audio")
OTHER_TYPE = Refused(415, "unsupported-media")


def call(data: Any, media_type: str = "audio/wav"):
    """A call of one piece; a piece that is refused ends nothing."""

    def send(doors: Doors, who: str):
        answer = doors.chunk(who, data() if callable(data) else data, media_type=media_type)
        if answer.is_success:
            doors.end(who, chunks=1)
        return answer

    return send


def pieces(*indexes: int, end: bool = True):
    """Pieces of what is said, each at its own time; two seconds each."""

    def send(doors: Doors, who: str):
        for index in indexes:
            answer = doors.chunk(who, odd.spoken(index * odd.PIECE_S), index, start_s=index * odd.PIECE_S)
            assert answer.status_code == 202, answer.text
        if end:
            doors.end(who, chunks=max(indexes) + 1)
        return answer

    return send


def overlap(doors: Doors, who: str):
    doors.chunk(who, odd.spoken(0.0))
    answer = doors.chunk(who, odd.spoken(1.0, 3.0), 1, start_s=1.0)
    doors.end(who, chunks=2)
    return answer


def streamed(doors: Doors, who: str):
    for index in range(3):
        second = index * odd.PIECE_S
        answer = doors.chunk(who, odd.streamed_wav(second), index, start_s=second)
        assert answer.status_code == 202, answer.text
    doors.end(who, chunks=3)
    return answer


def field_twice(doors: Doors, who: str):
    return doors.post(
        f"/v1/calls/{who}/chunks", odd.spoken(), "audio/wav", subject_id=[who, "other"], index=0, start_s=0
    )


def contradiction(doors: Doors, who: str):
    doors.chunk(who, odd.spoken())
    doors.end(who, chunks=1)
    return doors.chunk(who, odd.silence())


def contradiction_on_log(doors: Doors, who: str):
    """A foreign client gives a number that was taken to other audio."""
    doors.chunk(f"{who}", odd.spoken())
    blob = builders.blob(b"other audio")
    other = fresh(builders.chunk, who, event_id=f"{who}-other", chunk_index=0, start_s=0.0, duration_s=2.0, blob=blob)
    doors.write(CALL.topic, other, conversation_key(DEFAULT_TENANT, "", who))
    return doors.end(who, chunks=1)


def forgotten_image(doors: Doors, who: str):
    with doors.paused(SCREENSHOT.group):
        data = odd.picture(who)
        answer = doors.image(who, data)
        doors.forget(data)
    return answer


def forgotten_audio(doors: Doors, who: str):
    with doors.paused(CALL.group):
        data = odd.spoken(0.01)
        answer = doors.chunk(who, data)
        doors.end(who, chunks=1)
        doors.forget(data)
    return answer


def image(data: Any, media_type: str = "image/png"):
    return lambda doors, who: doors.image(who, data() if callable(data) else data, media_type)


CALLS = (
    Row("audio of zero length", call(b""), UNREADABLE),
    Row("audio without samples", call(lambda: odd.silence(0)), UNREADABLE),
    Row("a truncated header of audio", call(lambda: odd.spoken()[:30]), UNREADABLE),
    Row("a wrong declared codec", call(odd.mp3), OTHER_TYPE),
    Row("a WebM recording of a browser", call(odd.webm, "audio/webm;codecs=opus"), Found("calling")),
    Row("a later slice of a WebM recording", call(odd.later_slice, "audio/webm;codecs=opus"), OTHER_TYPE),
    Row("µ-law without a header", call(odd.headerless_mulaw, "audio/PCMU"), Found("calling")),
    Row("L16 without its rate", call(odd.headerless_mulaw, "audio/L16"), OTHER_TYPE),
    Row("a field that is given twice", field_twice, UNREADABLE),
    Row("audio with NaN floats", call(odd.not_a_number), UNREADABLE),
    Row("8 kHz µ-law", call(odd.mulaw), Found("calling")),
    Row("7 channels", call(odd.seven_channels), Found("calling")),
    Row("silence", call(odd.silence), Stored("transcripts", 0), (Stored("raw_calls", 2),)),
    Row("a gap in the chunk indexes", pieces(0, 2), Stored("transcripts", 1, "gap"), (Found(),)),
    Row("a repeated chunk", pieces(0, 0, 1, 0), Found("calling"), (Stored("raw_calls", 3),)),
    Row("other audio under a taken index", contradiction, Refused(409, "conflict"), (Stored("raw_calls", 2),)),
    Row(
        "other audio under a taken index, on the log",
        contradiction_on_log,
        Quarantined("raw_calls", "other audio"),
        (Found(),),
    ),
    Row("an MP3 whose rate and channels change", call(odd.joined_mp3, "audio/mpeg"), Found("calling")),
    Row("damaged frames", call(odd.damaged_flac, "audio/flac"), Found("calling")),
    Row("audio that was cut off", call(odd.cut_off), Stored("transcripts", 1, "gap"), (Found("calling"),)),
    Row(
        "a chunk that overlaps the one before",
        overlap,
        Quarantined("call_timeline", "the rest of it is derived"),
        (Found("calling"), Stored("transcripts", 0, "gap")),
    ),
    Row("several recordings in one file", call(odd.joined_recordings, "audio/ogg"), Found("calling")),
    Row("a slice of an MP3 stream", call(odd.slice_of_mp3, "audio/mpeg"), Found("calling")),
    Row("a voice memo in AMR", call(odd.voice_memo, "audio/amr"), Found("calling")),
    Row(
        "a streamed WAV with a title at its end",
        streamed,
        Found("calling"),
        (Stored("transcripts", 0, "gap"), Stored("raw_calls", 4)),
    ),
    Row("one voice on both channels", call(odd.bleeding), Found("calling")),
    Row("a call that never ends", pieces(0, 1, 2, end=False), Found("calling")),
    Row(
        "audio whose blob is deleted before it is derived",
        forgotten_audio,
        DELETED,
    ),
)
IMAGES = (
    Row("an image of 0 bytes", image(b""), UNREADABLE),
    Row("a truncated PNG", image(lambda: odd.picture("cut off")[:400]), UNREADABLE),
    Row("a JPEG damaged in the middle", image(odd.damaged_jpeg, "image/jpeg"), UNREADABLE),
    Row("a JPEG that was cut off behind its thumbnail", image(odd.cut_jpeg, "image/jpeg"), UNREADABLE),
    Row("white text on nothing", image(lambda: odd.white_on_nothing("refund pending")), Found("refund")),
    Row("one word on 1920 by 1080 px", image(lambda: odd.picture("refund", (1920, 1080))), Found("refund")),
    Row("a photo upside down", image(lambda: odd.turned("refund pending")), Found("refund")),
    Row("a decompression bomb", image(odd.bomb), Refused(413, "too-large")),
    Row("an image of 20,000 by 20,000 px", image(lambda: odd.bomb(20_000)), Refused(413, "too-large")),
    Row("an image 20,000 px wide", image(lambda: odd.picture("refund pending", (20_000, 90))), Found()),
    Row("a picture of an iPhone in HEIC", image(odd.heic, "image/heic"), OTHER_TYPE),
    Row("an image in TIFF", image(lambda: odd.picture("refund pending", form="TIFF"), "image/tiff"), Found("refund")),
    Row(
        "a TIFF that lies on its side", image(lambda: odd.on_its_side("refund pending"), "image/tiff"), Found("refund")
    ),
    Row("a TIFF of 32 bits a sample", image(lambda: odd.deep_tiff("refund pending"), "image/tiff"), Found("refund")),
    Row("a vector graphic in place of an image", image(odd.vector_graphic), OTHER_TYPE),
    Row(
        "a CMYK image",
        image(lambda: odd.picture("refund pending", mode="CMYK", form="JPEG"), "image/jpeg"),
        Found("refund"),
    ),
    Row("an animated image", image(lambda: odd.animated("voucher expired")), Found("voucher")),
    Row("an image of 1 by 1 px", image(lambda: odd.picture("", (1, 1))), Stored("captions", 1)),
    Row(
        "an image whose blob is deleted before it is derived",
        forgotten_image,
        DELETED,
    ),
)
