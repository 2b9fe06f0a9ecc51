"""Converts protocol messages between any version and the one version of the handlers.

kio has one dataclass for each version of each message. Handlers are written, and type-checked, against one version
of each API; requests of other versions are carried over field by field by name (what a version lacks takes the
protocol's default), responses the other way (what a version lacks is left out). The few fields that were renamed
between versions are carried over in `dispatch`.
"""

from __future__ import annotations

import dataclasses
import types
import typing
import uuid
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

from kio.schema.errors import ErrorCode

E = TypeVar("E")
Converter = Callable[[Any], Any]


def convert(message: object, target: type[E]) -> E:
    """`message` as an instance of `target`, another version of the same message."""
    if type(message) is target:
        return message
    converted: E = _converter(type(message), target)(message)  # type: ignore[arg-type]  # classes are hashable
    return converted


@cache
def _converter(source: Any, target: Any) -> Converter:
    have = {field.name: field for field in dataclasses.fields(source)}
    copied: list[tuple[str, Converter | None]] = []
    fixed: dict[str, object] = {}
    for field in dataclasses.fields(target):
        if field.name in have:
            copied.append((field.name, _value_converter(have[field.name], field)))
        else:
            fixed[field.name] = _default(field)

    def run(message: Any) -> Any:
        values = dict(fixed)
        for name, inner in copied:
            value = getattr(message, name)
            values[name] = value if inner is None else inner(value)
        return target(**values)

    return run


def _value_converter(source: dataclasses.Field[Any], target: dataclasses.Field[Any]) -> Converter | None:
    """Return the conversion of one value; None when it is unchanged."""
    item, is_array, nullable = _shape(target.type)
    from_item, _, from_nullable = _shape(source.type)
    if dataclasses.is_dataclass(item):
        inner = _converter(from_item, item)
        if is_array:
            return lambda value: None if value is None else tuple(inner(element) for element in value)
        return lambda value: None if value is None else inner(value)
    if from_nullable and not nullable:
        empty = _default(target)
        return lambda value: empty if value is None else value
    return None


def _default(field: dataclasses.Field[Any]) -> object:
    if field.default is not dataclasses.MISSING:
        return field.default
    item, is_array, nullable = _shape(field.type)
    if is_array:
        return ()
    if nullable:
        return None
    if issubclass(item, ErrorCode):
        return ErrorCode.none
    for base, value in ((timedelta, timedelta(0)), (str, ""), (bytes, b""), (bool, False), (int, 0)):
        if issubclass(item, base):
            return value
    if issubclass(item, uuid.UUID):
        return uuid.UUID(int=0)
    raise TypeError(f"no default for {field.name}")


def _shape(annotation: Any) -> tuple[type, bool, bool]:
    """(item type, is it an array, may it be null) of a kio field annotation."""
    nullable = False
    if typing.get_origin(annotation) in {types.UnionType, typing.Union}:
        nullable = True
        annotation = next(arg for arg in typing.get_args(annotation) if arg is not types.NoneType)
    is_array = typing.get_origin(annotation) is tuple
    return (typing.get_args(annotation)[0] if is_array else annotation), is_array, nullable


def default_instance(schema: type[E]) -> E:
    """A message with every field at the protocol's default."""
    return schema(**{field.name: _default(field) for field in dataclasses.fields(typing.cast("Any", schema))})
