"""Random numbers with valid check digits, and the separators that people and programs put between their groups."""

from __future__ import annotations

from random import Random
from typing import Final

CARD_SHAPES: Final = (
    *(("4", (4, 4, 4, 4)), ("4", (4, 4, 4, 4)), ("51", (4, 4, 4, 4)), ("55", (4, 4, 4, 4)), ("2221", (4, 4, 4, 4))),
    *(("2720", (4, 4, 4, 4)), ("34", (4, 6, 5)), ("37", (4, 6, 5)), ("6011", (4, 4, 4, 4)), ("65", (4, 4, 4, 4))),
    *(("36", (4, 6, 4)), ("3530", (4, 4, 4, 4)), ("62", (4, 4, 4, 4)), ("4", (4, 4, 4, 1)), ("6304", (4, 4, 4, 4, 3))),
)
ORDINARY_GAPS: Final = (" ", " ", " ", "-", "-", "", "", ".")
ODD_GAPS: Final = (
    *(";", "+", "=", "#", "_", "/", "|", "*", ":", "~", "\\", ",", "    ", "\t", " - ", ", ", "\n", " / ", "--"),
    *("\u00a0", "\u2009", "\u2013", "\u2011", "\u200b", "\u00b7", "&nbsp;", "<br>", "<br/>\n", "%20", "</td><td>"),
    *("</span> <span>", "&#160;", "\\n", "' '", "][", ")(", "\u3000"),
)
_SIMILAR_LETTERS: Final = {"0": "Oo", "1": "lI|", "2": "Z", "5": "S", "6": "b", "8": "B"}


def digits(random: Random, count: int) -> str:
    """Random digits; the first is no zero."""
    return "".join(str(random.randint(1 if index == 0 else 0, 9)) for index in range(count))


def luhn_completed(body: str) -> str:
    """Append the check digit of the Luhn algorithm."""
    doubled = [int(digit) * (2 if index % 2 == 0 else 1) for index, digit in enumerate(reversed(body))]
    return body + str(-sum(value - 9 if value > 9 else value for value in doubled) % 10)


def card_groups(random: Random) -> list[str]:
    """Groups of digits of a valid card number."""
    prefix, shape = random.choice(CARD_SHAPES)
    count = sum(shape)
    number = luhn_completed(prefix + "".join(str(random.randint(0, 9)) for _ in range(count - len(prefix) - 1)))
    return cut(number, shape)


def cut(text: str, shape: tuple[int, ...]) -> list[str]:
    """Cut a text into groups of these lengths; the last takes the rest."""
    groups, start = [], 0
    for length in shape[:-1]:
        groups.append(text[start : start + length])
        start += length
    return [*groups, text[start:]]


def misread_digits(random: Random, number: str) -> str:
    """Replace some digits by letters of the same look, as a recogniser of pictures misreads them; at least one."""
    candidates = [index for index, digit in enumerate(number) if digit in _SIMILAR_LETTERS]
    if not candidates:
        return number
    changed = set(random.sample(candidates, min(len(candidates), random.randint(1, 4))))
    return "".join(
        random.choice(_SIMILAR_LETTERS[digit]) if index in changed else digit for index, digit in enumerate(number)
    )


def routing_number(random: Random) -> str:
    """Routing number of an American bank, with its check digit."""
    body = random.choice(("01", "02", "06", "11", "12", "26", "31")) + digits(random, 6)
    total = sum(weight * int(digit) for weight, digit in zip((3, 7, 1, 3, 7, 1, 3, 7), body, strict=True))
    return body + str(-total % 10)


def social_security_number(random: Random) -> str:
    """Number of the American social security, with its hyphens."""
    area = random.choice([*range(1, 666), *range(667, 900)])
    return f"{area:03}-{random.randint(1, 99):02}-{random.randint(1, 9999):04}"


def public_ipv4(random: Random) -> str:
    """Address of the public internet."""
    return f"{random.choice((23, 34, 52, 81, 93, 151, 185, 203))}." + ".".join(
        str(random.randint(0, 255)) for _ in range(3)
    )


def public_ipv6(random: Random) -> str:
    """Address of the public internet, often shortened."""
    groups = [f"{random.randint(1, 0xFFFF):x}" for _ in range(6)]
    first = random.choice(("2001:db8", "2a02:810d", "2607:f8b0"))
    return f"{first}::{groups[0]}" if random.random() < 0.5 else f"{first}:{':'.join(groups)}"


def imei(random: Random) -> str:
    """Number of a mobile device; its check digit is that of cards."""
    return luhn_completed("35" + digits(random, 12))


def iccid(random: Random) -> str:
    """Number of a SIM card; its check digit is that of payment cards."""
    return luhn_completed("8949" + digits(random, 14))
