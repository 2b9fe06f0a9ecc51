"""Keeps loopback addresses off a proxy: httpx takes one from the environment, and it cannot reach them.

The local stack's processes call each other on loopback addresses, so ``HTTP_PROXY`` on a developer's machine must not
apply to them. Every other address follows the environment.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


def loopback_mounts(url: str) -> dict[str, None]:
    """``mounts`` for an httpx client of this address: direct for a loopback address, else empty.

    A mount rather than ``trust_env=False``, which would ignore the environment's certificates too.
    """
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:  # not an address: the request itself fails with the reason
        return {}
    if not _is_loopback(host):
        return {}
    return {f"all://[{host}]" if ":" in host else f"all://{host}": None}


def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    # The unspecified address, on which a server may listen, reaches this machine when a client calls it.
    return address.is_loopback or address.is_unspecified
