"""Key of the canaries: by it a gateway knows a request of the platform's own, and by nothing else.

A customer can neither hide events among the canaries nor search them: the key is derived from the installation's.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

from mmplatform.errors import Rejected
from mmplatform.kafka.headers import pseudonym_key
from mmplatform.settings import Settings

CANARY_REQUEST_HEADER: Final = "X-Mmplatform-Canary"
"""Not ``X-Canary``: ingresses and meshes route by that one, and a customer's request with it would be refused."""

_PURPOSE: Final = b"canary-1"
_SCOPE: Final = "mmplatform.canary"


def open_canary_key(settings: Settings) -> str:
    """The key, 64 hex digits. Raises Misconfigured: the installation's key cannot be read or written."""
    return hmac.new(pseudonym_key(settings), _PURPOSE, hashlib.sha256).hexdigest()


def is_canary_request(headers: Mapping[str, str], scope: MutableMapping[str, Any], key: str) -> bool:
    """True for a request with the key, whose ASGI scope is marked then; ``key`` is empty where none is taken.

    Raises:
        Rejected: the request has another key. As a customer's it would be in the answers of customers.
    """
    given = headers.get(CANARY_REQUEST_HEADER)
    if given is None:
        return False
    if not key or not hmac.compare_digest(given.encode(), key.encode()):
        raise Rejected(
            f"{CANARY_REQUEST_HEADER} is not the key of this installation: gateway and canaries need one "
            "MMPLATFORM_PSEUDONYM_KEY, or one data directory"
        )
    scope[_SCOPE] = True
    return True


def is_canary_scope(scope: Mapping[str, Any]) -> bool:
    """True for the ASGI scope of a request that was found to be a canary's."""
    return bool(scope.get(_SCOPE))
