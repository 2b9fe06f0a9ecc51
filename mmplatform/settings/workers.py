"""Workers: micro-batches, timeouts of calls, status pages, log lines."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class WorkerSettings(BaseModel):
    """Workers."""

    derive_commit_interval_s: float = Field(
        default=0.25,
        gt=0,
        le=60,
        description="Time between two commits of a deriver, in seconds; what it derives is published at once.",
    )
    derive_max_batch_size: int = Field(
        default=64, ge=1, le=10_000, description="Maximum number of events in one micro-batch of a deriver."
    )
    index_commit_interval_s: float = Field(
        default=30.0,
        ge=1,
        le=60,
        description="Maximum time between two commits of the indexer, in seconds; it commits sooner in a quiet moment.",
    )
    index_max_batch_size: int = Field(
        default=50, ge=1, le=5_000, description="Passages of one bucket that are written without waiting for more."
    )
    archive_commit_interval_s: float = Field(
        default=15.0, gt=0, le=3600, description="Commit interval of the archiver, in seconds."
    )
    archive_max_batch_size: int = Field(
        default=20_000, ge=1, description="Maximum number of rows in one archiver commit."
    )
    call_gap_timeout_s: float = Field(
        default=3.0, gt=0, description="How long a missing audio chunk is waited for, in seconds."
    )
    call_idle_timeout_s: float = Field(
        default=8.0, gt=0, description="Silence from the source after which a call's pending audio is derived."
    )
    metrics_host: str = Field(
        default="127.0.0.1", description="Address on which a worker's own /metrics and /healthz are served."
    )
    metrics_port: int = Field(
        default=0, ge=0, le=65535, description="Port of a worker's own /metrics, /healthz and /readyz; 0: a free one."
    )
    index_status_url: str = Field(
        default="",
        pattern=r"^(https?://[^/?#]+)?$",
        description="`http://host:port` of the index worker's status page; empty: that of the stack on this machine.",
    )
    worker_instance_id: str = Field(
        default="0",
        pattern=r"^[A-Za-z0-9_.-]+$",
        description=(
            "Which of several workers of one kind this is; `mmplatform up` puts it before numbers of its own, so that "
            "two hosts can share one Kafka."
        ),
    )
    standby: bool = Field(
        default=False,
        description="Load everything, then wait for SIGUSR1 before taking work: how `mmplatform restart` hands over.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest level that is logged."
    )
    log_format: Literal["console", "json"] = Field(default="console", description="How log lines look.")
