"""A token is the position of an acknowledged event, and nobody can make one up."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmplatform.errors import Rejected
from mmplatform.events import Position
from mmplatform.kafka.position_token import MAX_TOKEN_CHARS, PositionTokens

TOKENS = PositionTokens(b"a key", "default")
POSITION = Position(topic="interactions.chat", topic_partition=3, generation=1, offset=42)


def test_a_token_gives_its_position_back():
    assert TOKENS.read(TOKENS.sign(POSITION)) == POSITION


def test_the_longest_token_is_short_enough():
    longest = Position(topic="interactions.screenshot", topic_partition=10**6, generation=10**6, offset=2**62)
    assert len(TOKENS.sign(longest)) < MAX_TOKEN_CHARS


@pytest.mark.parametrize("other", [PositionTokens(b"another", "default"), PositionTokens(b"a key", "acme")])
def test_one_of_another_installation_or_tenant_is_refused(other):
    with pytest.raises(Rejected, match="no token of this platform"):
        TOKENS.read(other.sign(POSITION))


@pytest.mark.parametrize("token", ["", "x", "é", "=" * 8, "a" * 500, base64.urlsafe_b64encode(bytes(40)).decode()])
def test_nonsense_is_refused(token):
    with pytest.raises(Rejected, match="no token of this platform"):
        TOKENS.read(token)


@given(st.integers(0, 10**9), st.integers(0, 60))
def test_a_changed_token_is_refused(offset, where):
    token = TOKENS.sign(POSITION.model_copy(update={"offset": offset}))
    where %= len(token) - 1  # bits of the last character may belong to no byte
    changed = token[:where] + ("A" if token[where] != "A" else "B") + token[where + 1 :]
    with pytest.raises(Rejected):
        TOKENS.read(changed)
