"""A pointer in a call's state comes back whole, whatever key a client wrote."""

import pytest

from mmplatform.derive.call.origin import OriginChunk, short_key
from tests.builders import blob

USUAL = blob(b"audio")


@pytest.mark.parametrize(
    "key",
    [USUAL.key, f"acme/{USUAL.sha256[:2]}/{USUAL.sha256}", "default", "=default", ":default", "/", "k" * 1024, ""],
)
def test_a_pointer_comes_back_with_its_key(key):
    pointer = USUAL.model_copy(update={"key": key})
    chunk = OriginChunk.from_blob("e1", pointer, first_sample=0, lost_samples=0, cited=True)
    assert chunk.blob == pointer


def test_of_a_usual_key_the_state_has_the_tenant_only():
    assert short_key(USUAL) == "=default"
