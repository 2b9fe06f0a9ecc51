"""Upcasters: events of an older major version of the log, made into today's.

Version 1 had no tenant, and an event was identified by its id alone. So the tenant is given, and ``source``, a
remark then, becomes part of the identity. A blob's key gets the tenant in front.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from mmplatform.errors import Rejected
from mmplatform.events import SCHEMA_VERSION, Event, decode_event

Fields = dict[str, Any]


def upcast_event(value: bytes, tenant: str) -> Event:
    """An event of any version as today's.

    Raises:
        Rejected: no JSON, of a version without an upcaster, or a field is wrong.
    """
    try:
        fields = json.loads(value)
    except ValueError:
        raise Rejected("not an event: no JSON") from None
    if not isinstance(fields, dict):
        raise Rejected("not an event: no JSON object")
    version = fields.get("schema_version")
    while version != SCHEMA_VERSION:
        upcast = _UPCASTERS.get(version) if isinstance(version, int) else None
        if upcast is None:
            raise Rejected("not an event: of a version without an upcaster")
        fields = upcast(fields, tenant)
        version = fields["schema_version"]
    return decode_event(json.dumps(fields))


def _from_1(fields: Fields, tenant: str) -> Fields:
    upcast = {**fields, "schema_version": 2, "tenant": tenant}
    blob = fields.get("blob")
    if isinstance(blob, Mapping):
        upcast["blob"] = {**blob, "key": f"{tenant}/{blob.get('key', '')}"}
    if fields.get("source") == "idle-watch":
        # It named the watch, not the system whose call had fallen silent.
        upcast["source"] = ""
    return upcast


_UPCASTERS: Final[Mapping[int, Callable[[Fields, str], Fields]]] = {1: _from_1}
