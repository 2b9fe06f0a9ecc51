import ctypes
import sys

import pytest

from mmplatform.local.doctor.clock import is_synchronised

# Where Linux on 64 bits has the status word in struct timex: after modes (padded), offset, freq, maxerror, esterror.
STATUS_AT = 40
pytestmark = pytest.mark.skipif(sys.maxsize < 2**32, reason="another layout")


def kernel(state: int, status: int):
    def adjtimex(pointer) -> int:
        modes = ctypes.c_uint.from_address(ctypes.addressof(pointer._obj))
        assert modes.value == 0, "asks, and sets nothing"
        ctypes.c_int.from_address(ctypes.addressof(pointer._obj) + STATUS_AT).value = status
        return state

    return adjtimex


@pytest.mark.parametrize(
    ("state", "status", "right"),
    [(0, 0x2001, True), (5, 0x40, False), (5, 0x2001, False), (1, 0x2001, True), (0, 0x40, False), (-1, 0, None)],
    ids=["synchronised", "not", "in error", "a leap second comes", "marked", "refused"],
)
def test_the_kernel_reports_whether_the_clock_is_synchronised(state, status, right):
    assert is_synchronised(lambda: kernel(state, status)) is right


def test_without_the_kernels_report_the_synchronisation_is_unknown():
    assert is_synchronised(lambda: None) is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux")
def test_the_real_kernel_is_queried():
    """Some sandboxes do not let it be asked; that must look like not knowing, and not like an error."""
    assert ctypes.CDLL(None).adjtimex
    assert is_synchronised() in {True, False, None}
