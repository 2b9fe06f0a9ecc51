"""Topic configuration: Kafka's names and defaults, the valid values, and those that this broker supports.

All settings that clients expect are listed with Kafka's default. A setting that this broker cannot honour accepts only
the value that describes its behaviour: any other is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

MAX_LONG: Final = 2**63 - 1
MAX_INT: Final = 2**31 - 1
CREATE_TIME: Final = "CreateTime"
LOG_APPEND_TIME: Final = "LogAppendTime"


class ConfigType(IntEnum):
    """The protocol's numbers for the type of a config value."""

    BOOLEAN = 1
    STRING = 2
    INT = 3
    SHORT = 4
    LONG = 5
    DOUBLE = 6
    LIST = 7


class ConfigSource(IntEnum):
    """The protocol's numbers for the source of a config value."""

    TOPIC = 1
    STATIC_BROKER = 4
    DEFAULT = 5


class InvalidConfigError(ValueError):
    """A config name that does not exist, or a value that it cannot take; the message names both."""


@dataclass(frozen=True, slots=True)
class ConfigKey:
    """One setting: `check` raises ValueError, with the reason as message, for a value that it cannot take."""

    name: str
    type: ConfigType
    default: str
    check: Callable[[str], None]
    documentation: str


def _between(low: int, high: int) -> Callable[[str], None]:
    def check(value: str) -> None:
        if not low <= int(value) <= high:
            raise ValueError(f"must lie between {low} and {high}")

    return check


def _ratio(value: str) -> None:
    if not 0.0 <= float(value) <= 1.0:
        raise ValueError("must lie between 0 and 1")


def _policy(value: str) -> None:
    policies = {part.strip() for part in value.split(",")}
    if not policies <= {"delete", "compact"}:
        raise ValueError("must be delete, compact, or both")


def _timestamp_type(value: str) -> None:
    if value not in {CREATE_TIME, LOG_APPEND_TIME}:
        raise ValueError(f"must be {CREATE_TIME} or {LOG_APPEND_TIME}")


def _only(allowed: str, reason: str) -> Callable[[str], None]:
    def check(value: str) -> None:
        if value.lower() != allowed:
            raise ValueError(f"only {allowed!r} is supported by the embedded broker: {reason}")

    return check


def _boolean(value: str) -> None:
    if value.lower() not in {"true", "false"}:
        raise ValueError("must be true or false")


def _int(name: str, default: int, low: int, documentation: str) -> ConfigKey:
    return ConfigKey(name, ConfigType.INT, str(default), _between(low, MAX_INT), documentation)


def _long(name: str, default: int, low: int, documentation: str) -> ConfigKey:
    return ConfigKey(name, ConfigType.LONG, str(default), _between(low, MAX_LONG), documentation)


def _fixed(name: str, kind: ConfigType, value: str, reason: str) -> ConfigKey:
    return ConfigKey(name, kind, value, _only(value.lower(), reason), f"Fixed: {reason}.")


_DAY_MS: Final = 24 * 3600 * 1000
_SINGLE_NODE = "there is one node"
_NO_TIERS = "there is no remote storage"

_KEYS: Final = (
    ConfigKey("cleanup.policy", ConfigType.LIST, "delete", _policy, "delete by age and size, compact by key, or both."),
    _long("retention.ms", 7 * _DAY_MS, -1, "Delete segments whose newest record is older; -1 keeps them for ever."),
    _long("retention.bytes", -1, -1, "Delete the oldest segments while the partition stays above; -1 is no limit."),
    _int("segment.bytes", 1024**3, 14, "A segment is closed when the next batch would take it past this size."),
    _long("segment.ms", 7 * _DAY_MS, 1, "A segment is closed this long after its first batch."),
    _int("max.message.bytes", 1_048_588, 0, "The largest batch taken, as the producer compressed it."),
    ConfigKey(
        "min.cleanable.dirty.ratio",
        ConfigType.DOUBLE,
        "0.5",
        _ratio,
        "Compact when this share of the closed segments is not yet compacted.",
    ),
    _long("min.compaction.lag.ms", 0, 0, "A segment is not compacted before its newest record has this age."),
    _long("max.compaction.lag.ms", MAX_LONG, 1, "A record is compacted at this age whatever the dirty ratio."),
    _long("delete.retention.ms", _DAY_MS, 0, "A tombstone survives compaction for this long."),
    _int("index.interval.bytes", 4096, 0, "Accepted for compatibility; the sparse index has its own interval."),
    _int("segment.index.bytes", 10 * 1024**2, 4, "Accepted for compatibility; the sparse index grows as needed."),
    _long("segment.jitter.ms", 0, 0, "Accepted for compatibility."),
    _long("file.delete.delay.ms", 60_000, 0, "Accepted for compatibility; files are removed at once."),
    _long("flush.messages", MAX_LONG, 1, "Accepted for compatibility; every batch is flushed, in groups."),
    _long("flush.ms", MAX_LONG, 0, "Accepted for compatibility; every batch is flushed, in groups."),
    ConfigKey("preallocate", ConfigType.BOOLEAN, "false", _boolean, "Accepted for compatibility."),
    ConfigKey("unclean.leader.election.enable", ConfigType.BOOLEAN, "false", _boolean, "Accepted; there is one node."),
    _fixed("compression.type", ConfigType.STRING, "producer", "batches are kept as the producer made them"),
    ConfigKey(
        "message.timestamp.type",
        ConfigType.STRING,
        CREATE_TIME,
        _timestamp_type,
        "CreateTime: the producer's timestamps. LogAppendTime: the broker's clock at the append, which never falls "
        "within a partition. A change is for later batches.",
    ),
    _long("message.timestamp.before.max.ms", MAX_LONG, 0, "Accepted for compatibility; any timestamp is taken."),
    _long("message.timestamp.after.max.ms", MAX_LONG, 0, "Accepted for compatibility; any timestamp is taken."),
    _fixed("min.insync.replicas", ConfigType.INT, "1", _SINGLE_NODE),
    _fixed("leader.replication.throttled.replicas", ConfigType.LIST, "", _SINGLE_NODE),
    _fixed("follower.replication.throttled.replicas", ConfigType.LIST, "", _SINGLE_NODE),
    _fixed("remote.storage.enable", ConfigType.BOOLEAN, "false", _NO_TIERS),
    _fixed("local.retention.ms", ConfigType.LONG, "-2", _NO_TIERS),
    _fixed("local.retention.bytes", ConfigType.LONG, "-2", _NO_TIERS),
)
KEYS: Final[Mapping[str, ConfigKey]] = {key.name: key for key in _KEYS}


def validated(overrides: Mapping[str, str | None]) -> dict[str, str]:
    """The overrides that are set (None means: take the default); raises InvalidConfigError."""
    valid: dict[str, str] = {}
    for name, value in overrides.items():
        key = KEYS.get(name)
        if key is None:
            raise InvalidConfigError(f"unknown topic config {name!r}")
        if value is None:
            continue
        try:
            key.check(value)
        except ValueError as error:
            raise InvalidConfigError(f"invalid value {value!r} for topic config {name!r}: {error}") from error
        valid[name] = value
    return valid


class TopicConfig:
    """The settings of one topic: overrides over Kafka's defaults. Values are validated before they get here."""

    __slots__ = (
        "appends_with_time",
        "compacts",
        "delete_retention_ms",
        "deletes",
        "max_compaction_lag_ms",
        "max_message_bytes",
        "min_cleanable_ratio",
        "min_compaction_lag_ms",
        "overrides",
        "retention_bytes",
        "retention_ms",
        "segment_bytes",
        "segment_ms",
    )

    def __init__(self, overrides: Mapping[str, str]) -> None:
        self.replace(overrides)

    def replace(self, overrides: Mapping[str, str]) -> None:
        """Replace the overrides in place, so that open logs see them."""
        self.overrides = dict(overrides)
        policies = {part.strip() for part in self.value("cleanup.policy").split(",")}
        self.compacts = "compact" in policies
        self.deletes = "delete" in policies
        self.retention_ms = int(self.value("retention.ms"))
        self.retention_bytes = int(self.value("retention.bytes"))
        self.segment_bytes = int(self.value("segment.bytes"))
        self.segment_ms = int(self.value("segment.ms"))
        self.max_message_bytes = int(self.value("max.message.bytes"))
        self.min_cleanable_ratio = float(self.value("min.cleanable.dirty.ratio"))
        self.min_compaction_lag_ms = int(self.value("min.compaction.lag.ms"))
        self.max_compaction_lag_ms = int(self.value("max.compaction.lag.ms"))
        self.delete_retention_ms = int(self.value("delete.retention.ms"))
        self.appends_with_time = self.value("message.timestamp.type") == LOG_APPEND_TIME

    def value(self, name: str) -> str:
        """The value in force for a known config name."""
        return self.overrides.get(name, KEYS[name].default)
