"""Random credentials in the shapes of well-known services; put together at run time, so that none stands in a file."""

from __future__ import annotations

import base64
import hashlib
import json
import string
from random import Random
from typing import Final

_WORDS: Final = (
    "sunset",
    "Falcon",
    "blue",
    "Winter",
    "mango",
    "Dragon",
    "coffee",
    "Harbor",
    "tiger",
    "Purple",
    "ninja",
)
_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_LETTERS: Final = string.ascii_letters + string.digits


def token(random: Random, length: int, alphabet: str = _LETTERS) -> str:
    """Random characters."""
    return "".join(random.choice(alphabet) for _ in range(length))


def secret(random: Random) -> str:
    """Key or token of a service, which its shape alone tells."""
    shapes = (
        lambda: "sk-" + token(random, 48),
        lambda: "sk-" + "proj-" + token(random, 40),
        lambda: "sk_" + "live_" + token(random, 24),
        lambda: "AK" + "IA" + token(random, 16, string.ascii_uppercase + "234567"),
        lambda: "gh" + "p_" + token(random, 36),
        lambda: "glp" + "at-" + token(random, 20),
        lambda: "xo" + f"xb-{random.randint(10**10, 10**11)}-{random.randint(10**10, 10**11)}-{token(random, 24)}",
        lambda: "AI" + "za" + token(random, 35),
        lambda: _web_token(random),
    )
    return random.choice(shapes)()


def _web_token(random: Random) -> str:
    parts = ({"alg": "HS256", "typ": "JWT"}, {"sub": token(random, 10), "iat": random.randint(10**9, 2 * 10**9)})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, token(random, 43)])


def private_key(random: Random) -> str:
    """Private key in PEM."""
    kind = random.choice(("RSA PRIVATE", "PRIVATE", "EC PRIVATE", "OPENSSH PRIVATE"))
    lines = "\n".join(token(random, 64) for _ in range(random.randint(2, 5)))
    return f"-----BEGIN {kind} KEY-----\n{lines}\n-----END {kind} KEY-----"


def password(random: Random) -> str:
    """Password as people choose it, or as a program makes it."""
    word, second = random.sample(_WORDS, 2)
    shapes = (
        f"{word}{random.randint(1, 9999)}",
        f"{word}{random.randint(1, 99)}{random.choice('!?$#*')}",
        f"{word}-{second}-{random.randint(10, 99)}",
        f"{word.capitalize()}{random.choice('@#$')}{second}{random.randint(1, 99)}",
        token(random, random.randint(8, 14), _LETTERS + "!$%&*+-=?#"),
    )
    return random.choice(shapes)


def wallet(random: Random) -> str:
    """Address on a block chain, with the check sum of its kind."""
    shapes = (
        lambda: "0x" + token(random, 40, "0123456789abcdef"),
        lambda: _base58(b"\x00" + random.randbytes(20)),
        lambda: _bech32([0, *(random.randrange(32) for _ in range(32))]),
    )
    return random.choice(shapes)()


def _base58(payload: bytes) -> str:
    checked = payload + hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    number, written = int.from_bytes(checked, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        written = _BASE58[digit] + written
    return "1" * (len(checked) - len(checked.lstrip(b"\0"))) + written


def _bech32(values: list[int]) -> str:
    """Address of version 0, as BIP 173 has it."""
    check, prefix = 1, [3, 3, 0, 2, 3]  # the letters "bc", in the form that the check sum reads
    for value in [*prefix, *values, *[0] * 6]:
        high, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for index, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if high >> index & 1 else 0
    sums = [(check ^ 1) >> 5 * (5 - index) & 31 for index in range(6)]
    return "bc1" + "".join(_BECH32[value] for value in [*values, *sums])
