"""What `mmplatform doctor --deep` tries: something small goes into each store and comes out again; each model is asked.

Nothing of ours is touched: the canaries have a topic, a collection, a table and a blob of their own. Only the topic
stays, with what it was sent. Each look is told as one line, whatever happens in it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal

import numpy as np

from mmplatform.errors import PlatformError
from mmplatform.events import utc_now
from mmplatform.land.blobs.open import open_blobs
from mmplatform.land.index.chroma_client import chroma_errors
from mmplatform.land.index.store import ChromaIndex
from mmplatform.land.lakehouse.catalog import catalog_errors, open_catalog
from mmplatform.pipeline import factories
from mmplatform.settings import Settings

SPEECH: Final = Path(__file__).parent / "canary" / "speech.ogg"
"""Three seconds of the sample call: "Did you try another browser, or another card?"."""

_SKEW_S: Final = 1.0
_SKEW_MOST_S: Final = 60.0
TOPIC: Final = "doctor"


@dataclass(frozen=True, slots=True)
class Look:
    """One check; ``verdict`` is ``ok``, ``warning`` or ``failed``, ``mend`` what to do about it."""

    check: str
    verdict: Literal["ok", "warning", "failed"]
    detail: str
    mend: str = ""


def looks(settings: Settings) -> dict[str, Callable[[Settings], str | Look]]:
    """Every check by its name: it returns what it saw, or raises what is wrong."""
    found: dict[str, Callable[[Settings], str | Look]] = {
        "broker round trip": _broker,
        "index canary": _index,
        "lakehouse canary": _lakehouse,
        "blob canary": _blobs,
        "embedder answers": _embedder,
        "redactor answers": _redactor,
        "speech model answers": _speech,
        "screen reader answers": _reader,
    }
    if settings.caption_model:
        found["captioner answers"] = _captioner
    return found


_MENDS: Final = {
    "broker round trip": (
        "see that the broker is up (`mmplatform status`) and MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS names it"
    ),
    "index canary": (
        "see that Chroma is up and has disk; when its files are lost: docs/how-to/runbook.md, the index is lost"
    ),
    "lakehouse canary": (
        "see that catalog and warehouse are there and writable (MMPLATFORM_ICEBERG_CATALOG, …_WAREHOUSE)"
    ),
    "blob canary": "see that the blob store is there and writable (MMPLATFORM_BLOB_STORE_URL, MMPLATFORM_DATA_DIR)",
}
_MODEL_MEND: Final = "pull the model again: delete its directory, then `mmplatform models pull`"


def examine(settings: Settings) -> list[Look]:
    """Make every check; none raises."""
    return [_looked(name, look, settings) for name, look in looks(settings).items()]


def _looked(name: str, look: Callable[[Settings], str | Look], settings: Settings) -> Look:
    mend = _MENDS.get(name, _MODEL_MEND)
    try:
        found = look(settings)
    except PlatformError as error:
        return Look(name, "failed", str(error), mend)
    except Exception as error:  # noqa: BLE001 - whatever a library raises here is what the doctor came to find
        return Look(name, "failed", type(error).__name__, mend)
    return found if isinstance(found, Look) else Look(name, "ok", found)


class _Wrong(PlatformError):
    """A store or a model gave another answer than it must."""


def _broker(settings: Settings) -> str | Look:
    """A record there and back. Where the broker stamps records itself, its clock is compared with ours."""
    from mmplatform.kafka.round_trip import round_trip

    sent, came, stamped = round_trip(settings, TOPIC)
    took = (came - sent) / timedelta(milliseconds=1)
    if stamped is None:
        return f"a record came back after {took:.0f} ms; the broker's clock is not told by its records"
    # Between the two moments, if both clocks are right.
    off = max((sent - stamped).total_seconds(), (stamped - came).total_seconds(), 0.0)
    detail = f"a record came back after {took:.0f} ms; the broker's clock is {off:.2f} s off ours"
    if off < _SKEW_S:
        return detail
    mend = "set both clocks: turn on time synchronisation (chrony) here and on the broker; see docs/how-to/runbook.md"
    return Look("broker round trip", "failed" if off > _SKEW_MOST_S else "warning", detail, mend)


def _index(settings: Settings) -> str:
    name = f"doctor-{uuid.uuid4().hex}"
    with closing(ChromaIndex.open(settings)) as index, chroma_errors("try a canary"):
        client = index.connected()
        collection = client.create_collection(name, embedding_function=None)
        try:
            vector = np.eye(1, 8, dtype=np.float32)
            collection.upsert(ids=["canary"], embeddings=vector, documents=["canary"])
            found = collection.query(query_embeddings=vector, n_results=1)["ids"][0]
            collection.delete(ids=["canary"])
            left = collection.count()
        finally:
            client.delete_collection(name)
    if found != ["canary"] or left:
        raise _Wrong("a passage was written, and a search did not find it, or it could not be deleted")
    return "a passage was written, found by a search and deleted"


def _lakehouse(settings: Settings) -> str:
    import pyarrow as pa

    identifier = (settings.iceberg_namespace, f"doctor_{uuid.uuid4().hex}")
    with catalog_errors("try a canary"):
        catalog = open_catalog(settings)
        catalog.create_namespace_if_not_exists(settings.iceberg_namespace)
        rows = pa.table({"canary": ["canary"]})
        table = catalog.create_table(identifier, schema=rows.schema)
        try:
            table.append(rows)
            found = catalog.load_table(identifier).scan().to_arrow().column("canary").to_pylist()
        finally:
            catalog.purge_table(identifier)
    if found != ["canary"]:
        raise _Wrong("a row was written, and was not read again")
    return "a table was made, a row written and read, and the table deleted"


def _blobs(settings: Settings) -> str:
    blobs = open_blobs(settings)
    data = f"canary {uuid.uuid4().hex} {utc_now().isoformat()}".encode()
    ref = blobs.put(data, media_type="text/plain")
    try:
        found = blobs.get(ref)
    finally:
        blobs.delete(ref)
    if found != data or blobs.exists(ref):
        raise _Wrong("bytes were written, and not the same were read, or they could not be deleted")
    return "bytes were written, read and deleted"


def _embedder(settings: Settings) -> str:
    embedder = factories.open_embedder(settings)
    vectors = embedder.embed(["the payment was declined", "my card did not work when I paid", "rain in the mountains"])
    near, far = float(vectors[0] @ vectors[1]), float(vectors[0] @ vectors[2])
    if not np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3) or near < far + 0.2:
        raise _Wrong(f"{embedder.name}@{embedder.version} does not tell like from unlike ({near:.2f}, {far:.2f})")
    return f"{embedder.name}@{embedder.version}: like {near:.2f}, unlike {far:.2f}"


def _redactor(settings: Settings) -> str:
    redactor = factories.open_redactor(settings)
    (found,) = redactor.redact(["This is Sarah Connor, write to sarah@example.com, card 4111 1111 1111 1111"])
    if any(word in found.text for word in ("Connor", "sarah@", "4111")):
        raise _Wrong("a name, an address or a card number of the canary was not taken out")
    return f"{len(found.entities)} of 3 things taken out of the canary"


def _speech(settings: Settings) -> str:
    from mmplatform.derive.media.audio import decode

    heard = factories.open_transcriber(settings).transcribe(decode(SPEECH.read_bytes(), "audio/ogg")[0])
    words = " ".join(segment.text for segment in heard).lower()
    if "browser" not in words or "card" not in words:
        raise _Wrong("the canary's words were not recognised")
    return "the canary's words were recognised"


def _reader(settings: Settings) -> str:
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (480, 120), "white")
    ImageDraw.Draw(image).text((24, 36), "Order 482193", fill="black", font_size=40)
    lines = factories.open_reader(settings).read(np.array(image))
    if "482193" not in " ".join(line.text for line in lines):
        raise _Wrong("the canary's number was not read")
    return "the canary's number was read"


def _captioner(settings: Settings) -> str:
    blank = np.full((64, 64, 3), 255, dtype=np.uint8)
    with suppress(IndexError):
        if factories.open_captioner(settings).caption(blank, []):
            return "it says something about the canary"
    raise _Wrong("it said nothing about the canary")
