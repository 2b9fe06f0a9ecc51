import hashlib
import io
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from mmplatform.artifacts import VECTOR_HEADER, Caption, Passage, decode_artifact
from mmplatform.derive.adapters.rapidocr import RapidReader
from mmplatform.derive.adapters.transformers_captioner import NoCaption
from mmplatform.derive.layout.captioner import LayoutCaptioner
from mmplatform.derive.screenshot.deriver import ScreenshotDeriver, content_id
from mmplatform.derive.screenshot.redaction import redact_screens
from mmplatform.errors import Rejected, TooLarge, Unavailable
from mmplatform.events import Arrival, BlobRef, Position, Screenshot, encode
from mmplatform.locators import Box
from mmplatform.memo import MemoryMemo
from mmplatform.ports import RecognisedLine, Redacted
from tests.derive.screens import Canvas, error_dialog, shop_page

CARD = "4111 1111 1111 1111"
PHONE = "(415) 555-0142"
MAIL = "dana.whitfield@example.com"
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


@dataclass
class MemoryBlobs:
    held: dict = field(default_factory=dict)
    away: bool = False

    def put(self, data, *, media_type):
        sha256 = hashlib.sha256(data).hexdigest()
        self.held[sha256] = data
        return BlobRef(key=sha256, sha256=sha256, size=len(data), media_type=media_type)

    def get(self, ref):
        if self.away:
            raise Unavailable("the blob store does not answer")
        data = self.held.get(ref.sha256)
        if data is None:
            raise Rejected(f"blob {ref.key} is missing")
        if hashlib.sha256(data).hexdigest() != ref.sha256:
            raise Rejected(f"blob {ref.key} is damaged: its bytes have another sha256")
        return data

    def exists(self, ref):
        return ref.sha256 in self.held

    def delete(self, ref):
        self.held.pop(ref.sha256, None)


@dataclass
class ScriptedReader:
    """Knows by its pixels what is written on each picture."""

    script: dict = field(default_factory=dict)
    reads: int = 0
    name: str = "scripted"
    version: str = "1"

    def learn(self, screen):
        self.script[screen.pixels.tobytes()] = list(screen.lines)

    def read(self, image):
        self.reads += 1
        return self.script[image.tobytes()]


KINDS = {
    "CREDIT_CARD": r"\b(?:\d[ -]?){15}\d\b",
    "PHONE_NUMBER": r"\(\d{3}\) \d{3}-\d{4}",
    "EMAIL_ADDRESS": r"\S+@\S+\.\w+",
    "PERSON": r"Dana Whitfield",
}


@dataclass
class PatternRedactor:
    calls: list = field(default_factory=list)
    name: str = "pattern"
    version: str = "1"

    def redact(self, texts, *, spoken=False):
        assert not spoken
        self.calls.append(list(texts))
        return [self._one(text) for text in texts]

    def _one(self, text):
        found = sorted(
            (match.start(), match.end(), kind)
            for kind, pattern in KINDS.items()
            for match in re.finditer(pattern, text)
        )
        said, at = "", 0
        for start, end, kind in found:
            said += f"{text[at:start]}[{kind}]"
            at = end
        return Redacted(said + text[at:], tuple(kind for *_, kind in found), tuple((s, e) for s, e, _ in found))


@dataclass
class HashEmbedder:
    calls: list = field(default_factory=list)
    name: str = "hash"
    version: str = "1"
    dimensions: int = 8

    def embed(self, texts):
        self.calls.append(list(texts))
        rows = [np.frombuffer(hashlib.sha256(text.encode()).digest()[:8], dtype=np.uint8) for text in texts]
        vectors = np.array(rows, dtype=np.float32).reshape(len(texts), 8)
        return vectors / np.maximum(1e-9, np.linalg.norm(vectors, axis=1, keepdims=True))


class ModelCaptioner:
    """As a model would: one image at a time, words from the pixels, sometimes none."""

    name = "some-model"
    version = "7"

    def __init__(self, said):
        self.said = said
        self.asked = 0

    def caption(self, image, lines):
        assert image.shape[2] == 3
        assert all(isinstance(one, RecognisedLine) for one in lines)
        self.asked += 1
        if not self.said:
            raise NoCaption("nothing to say")
        return self.said


class BatchModelCaptioner(ModelCaptioner):
    def caption_many(self, images, lines):
        self.asked += 1
        assert len(images) == len(lines)
        return [self.said] * len(images)


class Bench:
    def __init__(self, captioner=None, max_pixels=10_000_000):
        self.blobs, self.memo = MemoryBlobs(), MemoryMemo()
        self.reader, self.redactor, self.embedder = ScriptedReader(), PatternRedactor(), HashEmbedder()
        self.captioner = captioner or LayoutCaptioner()
        self.max_pixels = max_pixels
        self.offset = 0

    @property
    def deriver(self):
        return ScreenshotDeriver(
            self.reader,
            self.captioner,
            self.embedder,
            self.redactor,
            self.memo,
            self.blobs,
            max_pixels=self.max_pixels,
        )

    def share(self, screen, event_id="e1", *, form="PNG"):
        self.reader.learn(screen)
        buffer = io.BytesIO()
        screen.image.save(buffer, form)
        return self.event(self.blobs.put(buffer.getvalue(), media_type="image/png"), event_id, screen.image.size)

    def event(self, ref, event_id="e1", size=(10, 10)):
        self.offset += 1
        event = Screenshot(
            event_id=event_id,
            conversation_id="conv-1",
            subject_id="cust-1",
            event_time=NOON,
            ingested_at=NOON + timedelta(seconds=1),
            width=size[0],
            height=size[1],
            blob=ref,
        )
        return Arrival(event, Position(topic="interactions.screenshot", topic_partition=0, offset=self.offset))


@pytest.fixture
def bench():
    return Bench()


def captions(derived):
    return [artifact for artifact in derived.artifacts if isinstance(artifact, Caption)]


def passages(derived):
    return [artifact for artifact in derived.artifacts if isinstance(artifact, Passage)]


def private_page():
    page = shop_page()
    page.text(400, 120, f"Card number {CARD}")
    page.text(400, 210, f"Call {PHONE} or write")
    page.text(400, 240, MAIL)
    return page


def test_a_screenshot_becomes_a_caption_and_cited_passages(bench):
    arrival = bench.share(error_dialog())
    derived = bench.deriver.derive([arrival])
    (caption,) = captions(derived)
    assert caption.captioner == "ocr-layout"
    assert caption.text.startswith("Error dialog titled 'Payment failed'")
    assert (caption.width, caption.height) == (1000, 640)
    assert caption.image_sha256 == arrival.event.blob.sha256
    assert caption.content_id == content_id(arrival.event.subject_key, caption.image_sha256)
    assert caption.provenance.blobs == (arrival.event.blob,)
    assert caption.provenance.position == arrival.position
    assert caption.provenance.model == "scripted+ocr-layout"
    assert not caption.provenance.memo_hit
    assert derived.quarantined == ()
    whole, *parts = passages(derived)
    assert whole.text == caption.text
    assert whole.locator.box == Box(x0=0, y0=0, x1=1000, y1=640)
    assert len(parts) >= 4
    assert [passage.ordinal for passage in passages(derived)] == list(range(len(parts) + 1))
    for passage in parts:
        assert passage.source_artifact_id == caption.artifact_id
        assert passage.locator.event_id == "e1"
        box = passage.locator.box
        assert 0 <= box.x0 < box.x1 <= 1000
        assert 0 <= box.y0 < box.y1 <= 640


def test_a_passage_cites_the_box_around_its_lines(bench):
    page = Canvas.blank(800, 400)
    page.text(100, 100, "Your bank did not answer")
    page.text(100, 124, "within five minutes.")
    derived = bench.deriver.derive([bench.share(page)])
    passage = passages(derived)[1]
    assert passage.text == "Your bank did not answer within five minutes."
    first, second = (line.box for line in page.lines)
    box = passage.locator.box
    assert (box.x0, box.y0, box.y1) == (min(first.x0, second.x0), first.y0, second.y1)


def test_every_artifact_survives_the_log(bench):
    for artifact in bench.deriver.derive([bench.share(private_page())]).artifacts:
        headers = {VECTOR_HEADER: artifact.vector_f32} if isinstance(artifact, Passage) else {}
        assert decode_artifact(encode(artifact), headers) == artifact


def test_no_personal_data_of_an_image_reaches_an_artifact(bench):
    derived = bench.deriver.derive([bench.share(private_page())])
    published = b"".join(encode(artifact) for artifact in derived.artifacts).decode()
    for secret in (CARD, PHONE, MAIL):
        assert secret not in published
    (caption,) = captions(derived)
    assert {(pii.entity, pii.count) for pii in caption.pii} == {
        ("CREDIT_CARD", 1),
        ("PHONE_NUMBER", 1),
        ("EMAIL_ADDRESS", 1),
    }
    assert "Card number [CREDIT_CARD]" in [line.text for line in caption.lines]


def test_a_card_that_ocr_split_over_boxes_or_lines_is_redacted(bench):
    page = shop_page()
    for k, part in enumerate(CARD.split()):
        page.text(400 + 70 * k, 120, part)
    page.text(400, 300, "4242 4242")
    page.text(400, 326, "4242 4242 is mine")
    derived = bench.deriver.derive([bench.share(page)])
    published = b"".join(encode(artifact) for artifact in derived.artifacts).decode()
    assert "1111" not in published.replace(derived.artifacts[0].image_sha256, "")
    assert "4242" not in published.replace(derived.artifacts[0].image_sha256, "")
    assert "[CREDIT_CARD] is mine" in [line.text for line in captions(derived)[0].lines]
    assert [(pii.entity, pii.count) for pii in captions(derived)[0].pii] == [("CREDIT_CARD", 2)]


def test_a_micro_batch_is_redacted_in_one_call_and_embedded_in_one(bench):
    arrivals = [bench.share(screen, f"e{k}") for k, screen in enumerate((error_dialog(), shop_page(), private_page()))]
    bench.deriver.derive(arrivals)
    assert len(bench.redactor.calls) == 1
    assert len(bench.embedder.calls) == 1


def test_the_same_bytes_are_read_once_and_have_one_content_id(bench):
    first, second, third = (bench.share(error_dialog(), event_id) for event_id in ("e1", "e2", "e3"))
    one, two = captions(bench.deriver.derive([first, second]))
    (three,) = captions(bench.deriver.derive([third]))
    assert bench.reader.reads == 1
    assert one.content_id == two.content_id == three.content_id
    assert one.text == two.text == three.text
    assert len({one.artifact_id, two.artifact_id, three.artifact_id}) == 3
    assert not one.provenance.memo_hit
    assert two.provenance.memo_hit
    assert three.provenance.memo_hit
    assert two.provenance.seconds == three.provenance.seconds == 0.0


def test_the_same_image_of_two_subjects_has_two_content_ids(bench):
    first, second, other = (
        bench.share(screen, f"e{n}") for n, screen in enumerate([error_dialog()] * 2 + [shop_page()])
    )
    elsewhere = Arrival(second.event.model_copy(update={"subject_id": "another-subject"}), second.position)
    one, two, three = captions(bench.deriver.derive([first, elsewhere, other]))
    assert one.image_sha256 == two.image_sha256
    assert len({one.content_id, two.content_id, three.content_id}) == 3


def test_a_replay_gives_the_same_words_boxes_and_vectors(bench):
    arrival = bench.share(private_page())

    def lasting(artifact):
        return artifact.model_dump(
            exclude={"stamps": True, "provenance": {"seconds", "memo_hit"}, "source_seconds": True}
        )

    once = [lasting(a) for a in bench.deriver.derive([arrival]).artifacts]
    twice = [lasting(a) for a in bench.deriver.derive([arrival]).artifacts]
    bench.memo = MemoryMemo()
    afresh = [lasting(a) for a in bench.deriver.derive([arrival]).artifacts]
    assert once == twice == afresh


def test_a_memoised_image_needs_no_bytes(bench):
    arrival = bench.share(shop_page())
    bench.deriver.derive([arrival])
    bench.blobs.held.clear()
    assert len(captions(bench.deriver.derive([arrival]))) == 1


def test_another_reader_reads_again(bench):
    arrival = bench.share(shop_page())
    bench.deriver.derive([arrival])
    bench.reader.version = "2"
    (caption,) = captions(bench.deriver.derive([arrival]))
    assert bench.reader.reads == 2
    assert caption.provenance.model_version.startswith("2+")


def test_a_missing_or_damaged_blob_is_quarantined_and_its_neighbours_go_on(bench):
    missing = bench.share(error_dialog(), "gone")
    damaged = bench.share(shop_page(), "damaged")
    fine = bench.share(private_page(), "fine")
    bench.blobs.delete(missing.event.blob)
    bench.blobs.held[damaged.event.blob.sha256] += b"\0"
    derived = bench.deriver.derive([missing, fine, damaged])
    assert [c.provenance.event_ids for c in captions(derived)] == [("fine",)]
    assert [(q.event_id, q.contract) for q in derived.quarantined] == [("gone", "blob"), ("damaged", "blob")]
    assert "is missing" in derived.quarantined[0].reasons[0]
    assert "another sha256" in derived.quarantined[1].reasons[0]


@pytest.mark.parametrize("data", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_bytes_that_are_no_image_are_quarantined(bench, data):
    derived = bench.deriver.derive([bench.event(bench.blobs.put(data, media_type="image/png"))])
    assert derived.artifacts == ()
    (row,) = derived.quarantined
    assert row.contract == "image"
    assert row.reasons[0]


def test_an_image_over_the_limit_is_quarantined():
    bench = Bench(max_pixels=1000)
    derived = bench.deriver.derive([bench.share(shop_page())])
    assert "at most 1000 are accepted" in derived.quarantined[0].reasons[0]
    assert issubclass(TooLarge, Rejected)


def test_one_bad_image_shared_twice_is_quarantined_twice_and_read_once_it_is_back(bench):
    good = bench.share(shop_page(), "e1")
    data = bench.blobs.held.pop(good.event.blob.sha256)
    derived = bench.deriver.derive([good, bench.event(good.event.blob, "e2")])
    assert [q.event_id for q in derived.quarantined] == ["e1", "e2"]
    bench.blobs.held[good.event.blob.sha256] = data
    (caption,) = captions(bench.deriver.derive([bench.event(good.event.blob, "e3")]))
    assert caption.image_sha256 == good.event.blob.sha256


def test_a_blob_store_that_does_not_answer_is_no_fault_of_the_event(bench):
    arrival = bench.share(shop_page())
    bench.blobs.away = True
    with pytest.raises(Unavailable):
        bench.deriver.derive([arrival])
    bench.blobs.away = False
    assert len(captions(bench.deriver.derive([arrival]))) == 1


def test_a_picture_without_text_still_has_a_caption_and_one_passage(bench):
    derived = bench.deriver.derive([bench.share(Canvas.blank(50, 40))])
    (caption,) = captions(derived)
    assert caption.text == "Screen without readable text."
    assert caption.lines == ()
    assert [p.text for p in passages(derived)] == [caption.text]


def test_no_events_give_nothing(bench):
    derived = bench.deriver.derive([])
    assert derived.artifacts == ()
    assert derived.quarantined == ()


@pytest.mark.parametrize("kind", [ModelCaptioner, BatchModelCaptioner])
def test_a_models_caption_is_redacted_and_labelled(kind):
    bench = Bench(kind(f"A page of {MAIL}"))
    (caption,) = captions(bench.deriver.derive([bench.share(shop_page())]))
    assert caption.text == "A page of [EMAIL_ADDRESS]"
    assert caption.captioner == "some-model"
    assert caption.provenance.model_version == "1+7"
    assert [(pii.entity, pii.count) for pii in caption.pii] == [("EMAIL_ADDRESS", 1)]
    (again,) = captions(bench.deriver.derive([bench.share(shop_page(), "e2")]))
    assert again.text == caption.text
    assert again.pii == caption.pii
    assert bench.captioner.asked == 1


@pytest.mark.parametrize("kind", [ModelCaptioner, BatchModelCaptioner])
def test_a_model_without_a_caption_falls_back_to_the_layout_under_its_own_name(kind):
    bench = Bench(kind(""))
    deriver = bench.deriver
    with capture_logs() as logs:
        first, second = captions(deriver.derive([bench.share(error_dialog(), "e1"), bench.share(shop_page(), "e2")]))
        deriver.derive([bench.share(private_page(), "e3")])
    assert first.captioner == second.captioner == "ocr-layout"
    assert first.text.startswith("Error dialog titled 'Payment failed'")
    assert first.provenance.model == "scripted+ocr-layout"
    assert len([log for log in logs if "had nothing to say" in log["event"]]) == 1


def test_a_fallback_is_not_memoised_as_the_models_caption():
    bench = Bench(ModelCaptioner(""))
    arrival = bench.share(shop_page())
    bench.deriver.derive([arrival])
    bench.captioner.said = "A shop"
    (caption,) = captions(bench.deriver.derive([arrival]))
    assert caption.text == "A shop"
    assert caption.captioner == "some-model"


def line(text):
    return RecognisedLine(text, Box(x0=0, y0=0, x1=10, y1=10), 0.9)


def test_redacted_lines_keep_their_boxes():
    (screen,) = redact_screens([[line("Dana Whitfield"), line("Total"), line(f"{MAIL} {PHONE}")]], PatternRedactor())
    assert [one.text for one in screen.lines] == ["[PERSON]", "Total", "[EMAIL_ADDRESS] [PHONE_NUMBER]"]
    assert screen.entities == ("PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER")


def test_a_name_that_only_two_neighbours_make_is_left_to_their_own_lines():
    (screen,) = redact_screens([[line("Dana"), line("Whitfield")]], PatternRedactor())
    assert [one.text for one in screen.lines] == ["Dana", "Whitfield"]


class GreedyRedactor(PatternRedactor):
    """Takes an e-mail for longer than it is when more text follows, as a redactor for spoken addresses does."""

    def redact(self, texts, *, spoken=False):
        assert not spoken
        found = re.compile(r"\S+@\S+\.\w+( Pay)?")
        spans = [[(m.start(), m.end()) for m in found.finditer(text)] for text in texts]
        return [
            Redacted(found.sub("[EMAIL]", text), ("EMAIL",) * len(own), tuple(own))
            for text, own in zip(texts, spans, strict=True)
        ]


def test_a_line_that_has_its_own_mail_redacts_nothing_of_the_next():
    (screen,) = redact_screens([[line(MAIL), line("Pay with")]], GreedyRedactor())
    assert [one.text for one in screen.lines] == ["[EMAIL]", "Pay with"]


def test_screens_are_not_mixed_up():
    screens = [[line(CARD)], [], [line("Total"), line(MAIL)]]
    first, second, third = redact_screens(screens, PatternRedactor())
    assert [one.text for one in first.lines] == ["[CREDIT_CARD]"]
    assert second.lines == ()
    assert second.entities == ()
    assert [one.text for one in third.lines] == ["Total", "[EMAIL_ADDRESS]"]


@given(st.lists(st.sampled_from(["Card", "4111", "1111 1111", "1111", MAIL, "", "a b", PHONE]), max_size=12))
@settings(max_examples=200, deadline=None)
def test_whatever_the_lines_no_pattern_is_left_in_them_or_between_them(texts):
    (screen,) = redact_screens([[line(text) for text in texts]], PatternRedactor())
    assert len(screen.lines) == len(texts)
    joined = " ".join(one.text for one in screen.lines)
    numeric = {kind: p for kind, p in KINDS.items() if kind != "PERSON"}
    assert not any(re.search(pattern, joined) for pattern in numeric.values())


@pytest.mark.models
@pytest.mark.parametrize("name", ["checkout-error", "mobile-error", "bank-3ds-timeout", "order-history"])
def test_the_examples_are_captioned_without_their_personal_data(name, request, embedder, redactor):
    folder = request.config.rootpath / "examples/payment-failed/screenshots"
    bench = Bench()
    bench.reader, bench.embedder, bench.redactor = RapidReader(threads=1), embedder, redactor
    ref = bench.blobs.put((folder / f"{name}.png").read_bytes(), media_type="image/png")
    derived = bench.deriver.derive([bench.event(ref)])
    (caption,) = captions(derived)
    assert re.search(r"failed|timed out", caption.text)
    published = "\n".join([caption.text, *(one.text for one in caption.lines), *(p.text for p in passages(derived))])
    for secret in (CARD, "555-0142", MAIL, "whitfield@"):
        assert secret not in published
    assert all(passage.vector.shape == (embedder.dimensions,) for passage in passages(derived))
