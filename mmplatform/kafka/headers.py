"""Record headers: what a reader needs to route a record without opening its value.

====================  ======================================================================================
``schema_version``    major version of the value
``kind``              its kind
``tenant``            whose it is
``subject``           keyed pseudonym of the person it is about; not reversible without the key
``event``             identity of the event (events only)
``digest``            digest of its content (events only)
``generation``        generation of the log (events only); absent: 0
``traceparent``       W3C trace context of the request that brought the event, where the source sent one
``vector``            vector of a passage, little-endian float32
``shed``              why nothing is derived from an event
``awaited``           a run waits until the index has this artifact
``canary``            ``1``: synthetic; of the platform's own tenant, and no customer's
====================  ======================================================================================
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

from mmplatform.artifacts import VECTOR_HEADER, ArtifactBase, Passage
from mmplatform.errors import Misconfigured
from mmplatform.events import EventBase
from mmplatform.identity import CANARY_TENANT
from mmplatform.refusals import QuarantineBase
from mmplatform.settings import Settings

EVENT_HEADER: Final = "event"
DIGEST_HEADER: Final = "digest"
TRACE_HEADER: Final = "traceparent"
CANARY_HEADER: Final = "canary"
_IS_CANARY: Final = b"1"
_TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACE_BYTES: Final = 55
_GENERATION_DIGITS: Final = 10
GENERATION_HEADER: Final = "generation"
AWAITED_HEADER: Final = "awaited"
_KEY_FILE: Final = "pseudonym.key"
_KEY_BYTES: Final = 32
_PSEUDONYM_HEX: Final = 32


class Pseudonyms:
    """Keyed pseudonyms of subjects: HMAC-SHA256 of the subject's key, 32 hex digits."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of_subject(self, subject_key: str) -> str:
        """The pseudonym of a subject."""
        return hmac.new(self._key, subject_key.encode(), hashlib.sha256).hexdigest()[:_PSEUDONYM_HEX]


def open_pseudonyms(settings: Settings) -> Pseudonyms:
    """Pseudonyms by the key of the settings, or by that of the data directory, which is made at the first use.

    Raises:
        Misconfigured: the key's file cannot be read or written.
    """
    return Pseudonyms(pseudonym_key(settings))


def pseudonym_key(settings: Settings) -> bytes:
    """Key of the installation's pseudonyms, from which keys for other purposes are derived.

    Raises:
        Misconfigured: the key's file cannot be read or written.
    """
    key = settings.pseudonym_key.get_secret_value()
    return key.encode() if key else _key_of_folder(settings.data_dir)


def derive_key(settings: Settings, purpose: str) -> bytes:
    """Key for another purpose, which follows from that of the pseudonyms. Raises Misconfigured."""
    return hmac.new(pseudonym_key(settings), purpose.encode(), hashlib.sha256).digest()


@lru_cache(maxsize=8)
def _key_of_folder(folder: Path) -> bytes:
    path = folder / _KEY_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _create_key(path)
        key = path.read_bytes()
    except OSError as error:
        raise Misconfigured(f"the key of pseudonyms {path} cannot be read: {error.strerror}") from error
    if len(key) != _KEY_BYTES:
        raise Misconfigured(f"the key of pseudonyms {path} is damaged: delete it, and a new one is made")
    return key


def _create_key(path: Path) -> None:
    """Write a new key in one step; the first of several processes wins."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".pseudonym-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(os.urandom(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, path)
        except FileExistsError:
            return
        except OSError:  # a file system without hard links
            Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def event_headers(
    event: EventBase, pseudonyms: Pseudonyms, traceparent: bytes = b"", *, generation: int = 0
) -> dict[str, bytes]:
    """Headers of an event's record; ``generation`` is that of the log onto which it is written."""
    identity = {EVENT_HEADER: event.uid.encode(), DIGEST_HEADER: event.digest.encode()}
    later = {GENERATION_HEADER: str(generation).encode()} if generation else {}
    return _headers(event, pseudonyms, traceparent) | identity | later


def log_generation(headers: Mapping[str, bytes]) -> int:
    """The generation of the log in which a record was written; 0 without a valid one."""
    given = headers.get(GENERATION_HEADER, b"")
    return int(given) if given.isdigit() and len(given) <= _GENERATION_DIGITS else 0


def is_canary(headers: Mapping[str, bytes]) -> bool:
    """True for a record of a canary: of its event, and of what was derived or quarantined of it."""
    return headers.get(CANARY_HEADER) == _IS_CANARY


def output_headers(
    record: ArtifactBase | QuarantineBase, pseudonyms: Pseudonyms, traceparent: bytes = b"", *, awaited: bool = False
) -> dict[str, bytes]:
    """Headers of an artifact's record, or of a quarantine row's; ``awaited`` when a run waits until it is indexed."""
    vector = {VECTOR_HEADER: record.vector_f32} if isinstance(record, Passage) else {}
    waiting = {AWAITED_HEADER: b"1"} if awaited else {}
    return _headers(record, pseudonyms, traceparent) | vector | waiting


def trace_context(headers: Mapping[str, bytes]) -> bytes:
    """The trace context of a record; empty without a valid one, which a foreign client may have written at any size."""
    given = headers.get(TRACE_HEADER, b"")
    return given if len(given) == _TRACE_BYTES and _TRACEPARENT.fullmatch(given) else b""


def _headers(
    record: EventBase | ArtifactBase | QuarantineBase, pseudonyms: Pseudonyms, traceparent: bytes
) -> dict[str, bytes]:
    more = {TRACE_HEADER: traceparent} if traceparent else {}
    more |= {CANARY_HEADER: _IS_CANARY} if record.tenant == CANARY_TENANT else {}
    return {
        "schema_version": str(record.schema_version).encode(),
        "kind": record.kind.encode(),
        "tenant": record.tenant.encode(),
        "subject": pseudonyms.of_subject(record.subject_key).encode(),
    } | more
