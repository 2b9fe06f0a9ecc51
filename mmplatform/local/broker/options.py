"""Options of a broker process, from its command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """`data` is the directory that this process owns; port 0 picks a free one, written to `port_file` if given."""

    data: Path
    host: str = "127.0.0.1"
    port: int = 9092
    port_file: Path | None = None
    exit_with_stdin: bool = False
    auto_create_topics: bool = False
    default_partitions: int = 1
    # How long a new group waits for more members before its first assignment (Kafka's default is 3 s).
    initial_rebalance_delay_s: float = 0.1
    # Interval of retention and compaction.
    cleanup_interval_s: float = 5.0
