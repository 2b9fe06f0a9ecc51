"""Reads from the kernel whether time synchronisation keeps this machine's clock."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any, ClassVar, Final

_STA_UNSYNC: Final = 0x40
_TIME_ERROR: Final = 5


class _Timex(ctypes.Structure):
    """The first fields of Linux's ``struct timex``, and room for the rest of it."""

    _fields_: ClassVar = [
        ("modes", ctypes.c_uint),  # 0: read only
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    ]


def _adjtimex() -> Callable[[Any], int] | None:
    if not sys.platform.startswith("linux") or sys.maxsize < 2**32:  # elsewhere the structure differs
        return None
    try:
        return ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return None


def is_synchronised(find: Callable[[], Callable[[Any], int] | None] = _adjtimex) -> bool | None:
    """Check whether time synchronisation (NTP, PTP) keeps the clock; None where the kernel does not report it."""
    adjtimex = find()
    if adjtimex is None:
        return None
    found = _Timex()
    state = adjtimex(ctypes.byref(found))
    if state < 0:
        return None
    return state != _TIME_ERROR and not found.status & _STA_UNSYNC
