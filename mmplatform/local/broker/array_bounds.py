"""Checks that the arrays of a request claim no more items than its bytes can hold.

An array on the wire begins with the number of its items. kio's native reader (0.6) reserves memory for that many
before it reads the first: twenty damaged bytes can ask for 16 GB, and where the machine lacks them, the process
is aborted, without an exception and with all connections. So each claim is compared with the remaining bytes before
kio sees the request. The walk follows kio's own schemas and reads nothing but lengths.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from kio.serial._introspect import (
    EntityField,
    EntityTupleField,
    FieldClass,
    classify_field,
    get_field_tag,
    get_schema_field_type,
    is_optional,
)
from kio.serial.readers import read_unsigned_varint

# From a request and the offset of a value in it to the offset after that value.
Walk = Callable[[bytes, int], int]

_FIXED_BYTES: Final = {
    "bool": 1, "int8": 1, "uint8": 1,
    "int16": 2, "uint16": 2, "error_code": 2,
    "int32": 4, "uint32": 4, "timedelta_i32": 4,
    "int64": 8, "uint64": 8, "float64": 8, "timedelta_i64": 8, "datetime_i64": 8,
    "uuid": 16,
}  # fmt: skip
_INT16: Final = struct.Struct(">h")
_INT32: Final = struct.Struct(">i")
_NULL: Final = 0xFF  # the marker of -1 before an entity that is not there


class OverclaimError(ValueError):
    """An array claims more items than the rest of the request has room for."""


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """Walk over a value, and its minimum size in bytes."""

    walk: Walk
    min_bytes: int


@cache
def walker(schema: Any) -> Walk:
    """The walk over a whole message of that kio schema.

    It raises OverclaimError, IndexError, struct.error, or what kio raises for a broken varint.
    """
    return _entity(schema).walk


@cache
def _entity(schema: Any) -> Shape:
    flexible = schema.__flexible__
    shapes = []
    tagged = {}
    for field in dataclasses.fields(schema):
        tag = get_field_tag(field)
        shape = _field(field, flexible=flexible)
        if tag is None:
            shapes.append(shape)
        else:
            tagged[int(tag)] = shape.walk
    walks = [shape.walk for shape in shapes]
    if flexible:
        walks.append(_tags(tagged))

    def walk(data: bytes, cursor: int) -> int:
        for step in walks:
            cursor = step(data, cursor)
        return cursor

    return Shape(walk, sum(shape.min_bytes for shape in shapes) + flexible)


def _field(field: dataclasses.Field[Any], *, flexible: bool) -> Shape:
    kind: FieldClass = classify_field(field)
    if isinstance(kind, EntityField | EntityTupleField):
        item = _entity(kind.type_)
    else:
        item = _primitive(get_schema_field_type(field), flexible=flexible)
    if kind.is_array:
        return _array(item, flexible=flexible)
    if isinstance(kind, EntityField) and is_optional(field):
        return _nullable(item)
    return item


def _primitive(kafka_type: str, *, flexible: bool) -> Shape:
    if size := _FIXED_BYTES.get(kafka_type):
        return Shape(lambda _, cursor: cursor + size, size)
    if flexible:
        return Shape(_compact_bytes, 1)
    length = _INT16 if kafka_type == "string" else _INT32

    def walk(data: bytes, cursor: int) -> int:
        (size,) = length.unpack_from(data, cursor)
        return cursor + length.size + max(0, int(size))

    return Shape(walk, length.size)


def _array(item: Shape, *, flexible: bool) -> Shape:
    def walk(data: bytes, cursor: int) -> int:
        if flexible:
            count, cursor = _varint(data, cursor)
            count -= 1
        else:
            count, cursor = _INT32.unpack_from(data, cursor)[0], cursor + _INT32.size
        if count * item.min_bytes > len(data) - cursor:
            raise OverclaimError(f"{count} items are claimed at byte {cursor}, {len(data) - cursor} bytes are left")
        for _ in range(count):
            cursor = item.walk(data, cursor)
        return cursor

    return Shape(walk, 1 if flexible else _INT32.size)


def _nullable(item: Shape) -> Shape:
    def walk(data: bytes, cursor: int) -> int:
        return cursor + 1 if data[cursor] == _NULL else item.walk(data, cursor + 1)

    return Shape(walk, 1)


def _tags(tagged: dict[int, Walk]) -> Walk:
    """Tagged fields as kio reads them: by the field's schema, whatever size is written before it."""

    def walk(data: bytes, cursor: int) -> int:
        count, cursor = _varint(data, cursor)
        for _ in range(count):
            tag, cursor = _varint(data, cursor)
            _, cursor = _varint(data, cursor)
            cursor = tagged[tag](data, cursor)  # a KeyError for an unknown tag, as in kio
        return cursor

    return walk


def _compact_bytes(data: bytes, cursor: int) -> int:
    length, cursor = _varint(data, cursor)
    return cursor + max(0, length - 1)


def _varint(data: bytes, cursor: int) -> tuple[int, int]:
    """An unsigned varint and the offset after it."""
    value, size = read_unsigned_varint(data, cursor)
    return value, cursor + size
