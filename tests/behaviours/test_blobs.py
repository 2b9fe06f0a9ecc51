"""One suite over every blob store: files, and a real S3 server."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmplatform.errors import Misconfigured, Rejected, Unavailable
from mmplatform.events import BlobRef
from mmplatform.land.blobs.file_store import FileBlobs
from mmplatform.land.blobs.open import open_blobs
from mmplatform.land.blobs.s3_store import S3Blobs
from mmplatform.settings import load
from tests.servers.process import free_ports

PNG = "image/png"


@pytest.fixture(params=["files", pytest.param("s3", marks=pytest.mark.s3)])
def store(request, tmp_path):
    """The store and a way to overwrite a blob's bytes behind its back."""
    if request.param == "files":
        blobs = open_blobs(load(data_dir=tmp_path))
        return blobs, lambda ref, data: (tmp_path / "blobs" / ref.key).write_bytes(data)
    server = request.getfixturevalue("s3_server")
    bucket = server.new_bucket()
    blobs = open_blobs(load(blob_store_url=f"s3://{bucket}/raw/eu", **server.settings()))
    return blobs, lambda ref, data: server.client().put_object(Bucket=bucket, Key=f"raw/eu/{ref.key}", Body=data)


@pytest.fixture
def blobs(store):
    return store[0]


def test_what_was_put_comes_back(blobs):
    ref = blobs.put(b"\x89PNG bytes", media_type=PNG)
    assert ref.sha256 == hashlib.sha256(b"\x89PNG bytes").hexdigest()
    assert ref == BlobRef(key=f"default/{ref.sha256[:2]}/{ref.sha256}", sha256=ref.sha256, size=10, media_type=PNG)
    assert blobs.get(ref) == b"\x89PNG bytes"
    assert blobs.exists(ref)


@given(data=st.binary(max_size=5000))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_come_back_as_they_were(blobs, data):
    assert blobs.get(blobs.put(data, media_type="application/octet-stream")) == data


def test_putting_twice_gives_the_same_pointer(blobs):
    assert blobs.put(b"same", media_type=PNG) == blobs.put(b"same", media_type=PNG)


def test_a_large_blob_comes_back(blobs):
    data = os.urandom(9_000_000)
    assert blobs.get(blobs.put(data, media_type="audio/wav")) == data


def test_concurrent_puts_of_the_same_bytes_all_succeed(blobs):
    data = os.urandom(200_000)
    with ThreadPoolExecutor(8) as pool:
        refs = list(pool.map(lambda _: blobs.put(data, media_type=PNG), range(24)))
    assert len(set(refs)) == 1
    assert blobs.get(refs[0]) == data


def test_a_missing_blob_is_rejected(blobs):
    ref = _pointer_to(b"never put")
    assert not blobs.exists(ref)
    with pytest.raises(Rejected, match=ref.sha256):
        blobs.get(ref)


def test_a_deleted_blob_is_gone_and_deleting_again_does_nothing(blobs):
    ref = blobs.put(b"forget me", media_type=PNG)
    blobs.delete(ref)
    blobs.delete(ref)
    assert not blobs.exists(ref)
    with pytest.raises(Rejected):
        blobs.get(ref)


@pytest.mark.parametrize("damage", [b"damag3d", b"short", b"much longer than it was", b""])
def test_damaged_bytes_are_never_handed_out(store, damage):
    blobs, overwrite = store
    ref = blobs.put(b"damaged", media_type=PNG)
    overwrite(ref, damage)
    with pytest.raises(Rejected, match="damaged"):
        blobs.get(ref)


def test_putting_again_repairs_a_truncated_blob(store):
    blobs, overwrite = store
    ref = blobs.put(b"whole", media_type=PNG)
    overwrite(ref, b"who")
    assert blobs.get(blobs.put(b"whole", media_type=PNG)) == b"whole"


def test_a_forged_key_does_not_lead_elsewhere(store):
    blobs, _ = store
    ref = blobs.put(b"mine", media_type=PNG)
    forged = ref.model_copy(update={"key": "../../../../etc/passwd"})
    assert blobs.get(forged) == b"mine"


def test_a_present_file_is_not_written_again(tmp_path):
    blobs = FileBlobs(tmp_path)
    ref = blobs.put(b"once", media_type=PNG)
    before = (tmp_path / ref.key).stat()
    blobs.put(b"once", media_type=PNG)
    after = (tmp_path / ref.key).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_writer_that_dies_leaves_nothing_readable(tmp_path, monkeypatch):
    blobs = FileBlobs(tmp_path)
    ref = _pointer_to(b"torn")

    def die(_handle):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", die)
    with pytest.raises(KeyboardInterrupt):
        blobs.put(b"torn", media_type=PNG)
    monkeypatch.undo()
    assert not blobs.exists(ref)
    assert blobs.get(blobs.put(b"torn", media_type=PNG)) == b"torn"


def test_torn_files_of_dead_writers_are_swept_when_they_are_old(tmp_path):
    incoming = tmp_path / "blobs" / ".incoming"
    incoming.mkdir(parents=True)
    for name, age in (("old", 7200), ("young", 0)):
        (incoming / name).write_bytes(b"half")
        stamp = (incoming / name).stat().st_mtime - age
        os.utime(incoming / name, (stamp, stamp))
    open_blobs(load(data_dir=tmp_path))
    assert [path.name for path in incoming.iterdir()] == ["young"]


def test_a_folder_that_cannot_be_made_is_misconfigured(tmp_path):
    (tmp_path / "blobs").write_text("a file where the folder should be")
    with pytest.raises(Misconfigured, match="MMPLATFORM_DATA_DIR"):
        open_blobs(load(data_dir=tmp_path)).put(b"x", media_type=PNG)


def test_a_full_disk_is_unavailable(tmp_path, monkeypatch):
    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unavailable, match="No space left"):
        FileBlobs(tmp_path).put(b"x", media_type=PNG)


@pytest.mark.parametrize("address", ["http://bucket", "s3://", "bucket/prefix"])
def test_an_address_that_is_no_s3_url_is_misconfigured(address):
    with pytest.raises(Misconfigured, match="MMPLATFORM_BLOB_STORE_URL"):
        open_blobs(load(blob_store_url=address))


def test_a_store_that_does_not_answer_is_unavailable():
    port = free_ports(1)[0]
    blobs = S3Blobs("b", "", f"http://127.0.0.1:{port}", access_key="k", secret_key="s", max_attempts=1)
    for call in (lambda: blobs.put(b"x", media_type=PNG), lambda: blobs.get(_pointer_to(b"x"))):
        with pytest.raises(Unavailable):
            call()


@pytest.mark.s3
def test_wrong_credentials_are_misconfigured(s3_server):
    bucket = s3_server.new_bucket()
    blobs = S3Blobs(bucket, "", s3_server.endpoint, access_key="test-key", secret_key="wrong")
    with pytest.raises(Misconfigured, match="MMPLATFORM_S3"):
        blobs.put(b"x", media_type=PNG)
    with pytest.raises(Misconfigured, match="MMPLATFORM_S3"):
        blobs.get(_pointer_to(b"x"))


@pytest.mark.s3
def test_a_missing_bucket_is_misconfigured_and_never_a_quiet_no(s3_server):
    blobs = open_blobs(load(blob_store_url="s3://no-such-bucket", **s3_server.settings()))
    for call in (
        lambda: blobs.put(b"x", media_type=PNG),
        lambda: blobs.exists(_pointer_to(b"x")),
        lambda: blobs.get(_pointer_to(b"x")),
    ):
        with pytest.raises(Misconfigured, match="no-such-bucket"):
            call()


def _pointer_to(data: bytes) -> BlobRef:
    digest = hashlib.sha256(data).hexdigest()
    return BlobRef(key=f"{digest[:2]}/{digest}", sha256=digest, size=len(data), media_type=PNG)


def test_blobs_of_a_tenant_that_are_older_than_a_time_are_deleted_and_no_others(blobs):
    ref = blobs.put(b"of today", media_type=PNG)
    now = datetime.now(UTC)
    assert blobs.delete_older("default", now - timedelta(hours=1)) == 0
    assert blobs.delete_older("another", now + timedelta(hours=1)) == 0
    assert blobs.exists(ref)
    assert blobs.delete_older("default", now + timedelta(hours=1)) == 1
    assert not blobs.exists(ref)
