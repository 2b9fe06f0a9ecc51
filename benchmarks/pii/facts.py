"""Random harmless facts that look like personal data: order numbers, versions, device numbers, amounts."""

from __future__ import annotations

import string
import uuid
from random import Random
from typing import Final

from benchmarks.pii import numbers
from benchmarks.pii.samples import Piece

_GOODS: Final = (
    *("Anker charger", "Canyon bottle", "Merino Base Layer", "Trail Runner 5", "Logitech keyboard", "Bosch drill"),
    *("Dyson V11", "Patagonia jacket", "Galaxy Buds", "IKEA Billy shelf", "Nest thermostat", "Kindle Paperwhite"),
    *("Jackson Hole poster", "Victoria sponge tin", "Olive bowl", "Makita saw", "Philips kettle", "Osprey backpack"),
    *("Echo Dot", "Braun shaver", "Yeti mug", "Calvin Klein socks", "Dr. Martens boots", "Sony headphones"),
)


class Facts:
    """Source of random harmless facts."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def make(self, slot: str) -> list[Piece]:
        """Make a random fact of a slot."""
        return [Piece(getattr(self, f"_{slot}")())]

    def _digits(self, *counts: int) -> str:
        return numbers.digits(self._random, self._random.choice(counts))

    def _order(self) -> str:
        shape = self._random.choice(("{}", "LF-{}", "#{}", "ORD-2026-{}", "{}-01"))
        return shape.format(self._digits(6, 8, 10))

    def _long_order(self) -> str:
        return self._digits(12, 13, 14, 16, 17)

    def _version(self) -> str:
        parts = self._random.choice(((120, 6099, 109), (10, 0, 19045, 3803), (4, 18, 2, 1), (17, 4, 1), (125, 0, 6422)))
        if len(parts) == 3 and parts[1] > 1000:
            return f"{parts[0]}.0.{parts[1]}.{parts[2] + self._random.randint(0, 90)}"
        return ".".join(str(part + self._random.randint(0, 9)) for part in parts)

    def _tracking(self) -> str:
        carrier = self._random.choice(("1Z999AA1", "00340434", "JJD0", "H1000", "CP"))
        return carrier + self._digits(10, 12) + ("DE" if carrier == "CP" else "")

    def _parcel(self) -> str:
        return self._digits(10, 11, 12, 14)

    def _imei(self) -> str:
        return numbers.imei(self._random)

    def _iccid(self) -> str:
        return numbers.iccid(self._random)

    def _serial(self) -> str:
        letters = "".join(self._random.choice(string.ascii_uppercase) for _ in range(3))
        return f"{letters}{self._digits(7, 9)}"

    def _amount(self) -> str:
        units, cents = self._random.randint(2, 9999), self._random.randint(0, 99)
        return self._random.choice(
            (f"${units:,}.{cents:02}", f"{units}.{cents:02} EUR", f"{units},{cents:02} €", f"£{units}")
        )

    def _day(self) -> str:
        month, day = self._random.randint(1, 12), self._random.randint(1, 28)
        return self._random.choice((f"2026-{month:02}-{day:02}", f"{day:02}.{month:02}.2026", f"{month}/{day}/2026"))

    def _clock(self) -> str:
        return f"{self._random.randint(0, 23):02}:{self._random.randint(0, 59):02}"

    def _error(self) -> str:
        shape = self._random.choice(("E-{}", "0x8007{}", "PMT-{}", "HTTP 5{}", "ERR_{}"))
        return shape.format(f"{self._random.randint(0, 99):02}" if shape == "HTTP 5{}" else self._digits(4))

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def _digest(self) -> str:
        return "".join(self._random.choice("0123456789abcdef") for _ in range(self._random.choice((7, 8, 40))))

    def _product(self) -> str:
        return self._random.choice(_GOODS)

    def _last4(self) -> str:
        return f"{self._random.randint(0, 9999):04}"

    def _local_ip(self) -> str:
        return self._random.choice(("127.0.0.1", f"192.168.0.{self._random.randint(2, 250)}", "10.0.0.17"))

    def _epoch(self) -> str:
        return str(1_760_000_000_000 + self._random.randint(0, 9 * 10**9))

    def _ean(self) -> str:
        return self._digits(13)

    def _count(self) -> str:
        return str(self._random.randint(2, 48))
