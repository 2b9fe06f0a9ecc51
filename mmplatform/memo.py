"""Memo of model results: the same bytes are never derived twice by the same model.

Several processes share one SQLite file (WAL). An entry never changes, so that readers need no lock. A crash
(``synchronous=NORMAL``) may lose entries, which are computed again, but never damages one.

Its answers quote customers (OCR lines, spoken words), and a plain hash of a short text can be guessed. So the file has
neither: a key is an HMAC, a value is encrypted, both under a random key in a file of its own beside the memo. Without
that file, or with another one, nothing is found, and all is computed again.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import sqlite3
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from filelock import FileLock
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random

from mmplatform.errors import Unavailable

_MAX_KEYS_PER_QUERY: Final = 500
"""Below SQLite's oldest limit on the parameters of a statement (999)."""

_FILE_VERSION: Final = 1
"""SQLite's ``user_version`` of a file whose entries are encrypted; 0 is a new file, or one from before."""

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_PRIVATE: Final = 0o600


class _Cipher:
    """Hashes keys and encrypts values under one secret.

    A value is bound to its space and key: it does not decrypt under others.
    """

    def __init__(self, secret: bytes) -> None:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        def subkey(purpose: bytes) -> bytes:
            return HKDF(SHA256(), _KEY_BYTES, salt=None, info=b"mmplatform memo " + purpose).derive(secret)

        self._hash_key = subkey(b"keys")
        self._aead = AESGCM(subkey(b"values"))
        self._invalid_tag = InvalidTag

    def hash(self, space: str, key: str) -> bytes:
        """Hash a key."""
        return hmac.digest(self._hash_key, _entry_name(space, key), hashlib.sha256)

    def encrypt(self, space: str, key: str, value: bytes) -> bytes:
        """Encrypt a value under a random nonce, which stands before it."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, value, _entry_name(space, key))

    def decrypt(self, space: str, key: str, stored: bytes) -> bytes | None:
        """Decrypt a value; None for bytes that are not this entry's."""
        try:
            return self._aead.decrypt(stored[:_NONCE_BYTES], stored[_NONCE_BYTES:], _entry_name(space, key))
        except (self._invalid_tag, ValueError):
            return None


class SqliteMemo:
    """Memo of all processes on one machine, in one file. Safe across threads and processes."""

    def __init__(self, path: Path, *, busy_s: float = 30.0) -> None:
        """Open or create; ``busy_s`` is the time that a writer waits for another one.

        The key lies beside the file, in one of the same name that ends with ``.key``.

        Raises:
            Unavailable: a file cannot be opened.
        """
        self._path = path
        self._lock = threading.Lock()
        with self._as_unavailable():
            path.parent.mkdir(parents=True, exist_ok=True)
            # One process at a time creates the key, creates the file, or replaces an old one.
            with FileLock(path.with_suffix(".lock"), timeout=busy_s, mode=_PRIVATE, fallback_to_soft=False):
                self._cipher = _Cipher(_read_or_create_secret(path.with_suffix(".key")))
                _create_private(path)
                for suffix in ("-wal", "-shm"):  # of a crash, or of a running process
                    _restrict(path.with_name(path.name + suffix))
                self._db = sqlite3.connect(path, timeout=busy_s, isolation_level=None, check_same_thread=False)
                self._prepare(busy_s)

    def _prepare(self, busy_s: float) -> None:
        # A process of before this lock may be at work: SQLite answers some statements "locked" without waiting.
        retrying = Retrying(
            retry=retry_if_exception(lambda error: "locked" in str(error)),
            stop=stop_after_delay(busy_s),
            wait=wait_random(0.01, 0.1),
            reraise=True,
        )
        for attempt in retrying:
            with attempt:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=NORMAL")
                self._db.execute(
                    "CREATE TABLE IF NOT EXISTS entries (space TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, "
                    "PRIMARY KEY (space, key)) WITHOUT ROWID"
                )
                if self._db.execute("PRAGMA user_version").fetchone()[0] < _FILE_VERSION:
                    self._drop_plain_entries()
                    self._db.execute(f"PRAGMA user_version={_FILE_VERSION}")

    def _drop_plain_entries(self) -> None:
        """Drop the table of before, whose entries were not encrypted, so that none of its bytes stay in the file.

        Also without that table: another try may have dropped it, and found the log of writes in use.
        """
        self._db.execute("PRAGMA secure_delete=ON")
        self._db.execute("DROP TABLE IF EXISTS memo")
        self._db.execute("VACUUM")
        [busy, _, _] = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise sqlite3.OperationalError("the old memo is locked by a reader")

    def get_many(self, deriver: str, keys: Sequence[str]) -> Mapping[str, bytes]:
        """The cached entries among ``keys``; one that does not decrypt is deleted. Raises ``Unavailable``."""
        wanted = {self._cipher.hash(deriver, key): key for key in keys}
        hashes = list(wanted)
        stored: dict[bytes, bytes] = {}
        with self._lock, self._as_unavailable():
            for start in range(0, len(hashes), _MAX_KEYS_PER_QUERY):
                batch = hashes[start : start + _MAX_KEYS_PER_QUERY]
                placeholders = ",".join("?" * len(batch))
                rows = self._db.execute(
                    f"SELECT key, value FROM entries WHERE space = ? AND key IN ({placeholders})",  # noqa: S608 (placeholders only)
                    (deriver, *batch),
                )
                stored.update(rows)
        values = {name: self._cipher.decrypt(deriver, wanted[name], value) for name, value in stored.items()}
        damaged = [(deriver, name, stored[name]) for name, value in values.items() if value is None]
        if damaged:  # so that a computed one takes its place
            with self._lock, self._as_unavailable(), self._transaction():
                self._db.executemany("DELETE FROM entries WHERE space = ? AND key = ? AND value = ?", damaged)
        return {wanted[name]: value for name, value in values.items() if value is not None}

    def put_many(self, deriver: str, entries: Mapping[str, bytes]) -> None:
        """Store all or none; an existing entry stays. Raises ``Unavailable``."""
        if not entries:
            return
        rows = [
            (deriver, self._cipher.hash(deriver, key), self._cipher.encrypt(deriver, key, value))
            for key, value in entries.items()
        ]
        with self._lock, self._as_unavailable(), self._transaction():
            self._db.executemany("INSERT OR IGNORE INTO entries VALUES (?, ?, ?)", rows)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")  # takes the write lock at once, where the busy timeout applies
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextmanager
    def _as_unavailable(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise Unavailable(
                f"the memo {self._path} does not answer: {error}; if it is damaged, delete it: it is only a cache"
            ) from error


def _entry_name(space: str, key: str) -> bytes:
    """Encode space and key; the length keeps ``a``, ``bc`` apart from ``ab``, ``c``."""
    encoded = space.encode("utf-8", "surrogatepass")
    return len(encoded).to_bytes(4, "big") + encoded + key.encode("utf-8", "surrogatepass")


def _read_or_create_secret(path: Path) -> bytes:
    """Read the secret; create it where it is missing, or is none. The caller holds the lock."""
    with suppress(FileNotFoundError):
        secret = path.read_bytes()
        _restrict(path)
        if len(secret) == _KEY_BYTES:
            return secret
    secret = os.urandom(_KEY_BYTES)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        _create_private(draft)
        with draft.open("wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return secret


def _create_private(path: Path) -> None:
    """Create a file that only its owner reads, or make it one; SQLite gives its other files the same mode."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, _PRIVATE))
    _restrict(path)


def _restrict(path: Path) -> None:
    with suppress(FileNotFoundError, PermissionError):  # or it is another user's, who let this one read it
        if path.stat().st_mode & 0o077:
            path.chmod(_PRIVATE)


class MemoryMemo:
    """In-memory memo of one process, for tests and one-off runs."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], bytes] = {}

    def get_many(self, deriver: str, keys: Sequence[str]) -> Mapping[str, bytes]:
        """The cached entries among ``keys``."""
        return {key: self._answers[deriver, key] for key in keys if (deriver, key) in self._answers}

    def put_many(self, deriver: str, entries: Mapping[str, bytes]) -> None:
        """Store; an existing entry stays."""
        for key, answer in entries.items():
            self._answers.setdefault((deriver, key), bytes(answer))
