"""Which calls may go through a proxy: httpx takes one from the environment, but none reaches our loopback addresses.

The local stack's processes call each other on loopback addresses; so ``HTTP_PROXY`` on a developer's machine must not
matter to them. Every other address follows the environment, as everywhere.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


def direct(url: str) -> dict[str, None]:
    """``mounts`` for an httpx client of this address: straight to it when it is on this machine, else nothing special.

    A mount rather than ``trust_env=False``, which would ignore the environment's certificates too.
    """
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:  # no address at all: the call itself will say so
        return {}
    if not _is_here(host):
        return {}
    return {f"all://[{host}]" if ":" in host else f"all://{host}": None}


def _is_here(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    # The unspecified address, on which a server may listen, reaches this machine when it is called.
    return address.is_loopback or address.is_unspecified
