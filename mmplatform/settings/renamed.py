"""Settings that were renamed: an old variable is refused at start, with its new name, and never ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mmplatform.errors import Misconfigured

RENAMED: Final[Mapping[str, str]] = {
    "kafka": "kafka_bootstrap_servers",
    "topic_replicas": "topic_replication_factor",
    "max_poll_s": "kafka_max_poll_interval_s",
    "blobs": "blob_store_url",
    "chroma": "chroma_url",
    "catalog": "iceberg_catalog",
    "catalog_token": "iceberg_catalog_token",
    "warehouse": "iceberg_warehouse",
    "namespace": "iceberg_namespace",
    "embedder": "embedding_model",
    "embed_threads": "embedding_threads",
    "asr_beam": "asr_beam_size",
    "gateway_share_port": "gateway_reuse_port",
    "max_held_bytes": "max_inflight_body_bytes",
    "derive_commit_s": "derive_commit_interval_s",
    "derive_batch": "derive_max_batch_size",
    "index_commit_s": "index_commit_interval_s",
    "index_batch": "index_max_batch_size",
    "archive_commit_s": "archive_commit_interval_s",
    "archive_batch": "archive_max_batch_size",
    "call_gap_s": "call_gap_timeout_s",
    "call_idle_s": "call_idle_timeout_s",
    "index_status": "index_status_url",
    "instance": "worker_instance_id",
    "lineage": "openlineage_url",
    "lineage_token": "openlineage_token",
    "lineage_namespace": "openlineage_namespace",
    "dagster_postgres": "dagster_postgres_url",
    "dagster_logs": "dagster_compute_logs_url",
    "event_log_days": "dagster_event_retention_days",
    "alert_webhook": "alert_webhook_url",
    "chat_policy": "chat_backpressure_policy",
    "chat_high_age_s": "chat_high_water_age_s",
    "chat_low_age_s": "chat_low_water_age_s",
    "call_policy": "call_backpressure_policy",
    "call_high_age_s": "call_high_water_age_s",
    "call_low_age_s": "call_low_water_age_s",
    "screenshot_policy": "screenshot_backpressure_policy",
    "screenshot_high_age_s": "screenshot_high_water_age_s",
    "screenshot_low_age_s": "screenshot_low_water_age_s",
}


def refuse_renamed(environment: Mapping[str, str], prefix: str) -> None:
    """Refuse an environment that still sets an old variable, in whatever case. An empty variable is an unset one.

    Raises:
        Misconfigured: names each old variable beside its new one.
    """
    given = {name.upper() for name, value in environment.items() if value}
    old = [name for name in RENAMED if f"{prefix}{name.upper()}" in given]
    if old:
        pairs = ", ".join(_advice(name, prefix) for name in old)
        raise Misconfigured(f"renamed settings: {pairs} (see docs/explanation/renames.md)")


def _advice(name: str, prefix: str) -> str:
    advice = f"{prefix}{name.upper()} is now {prefix}{RENAMED[name].upper()}"
    return f"{advice}, and its value `slow` is now `throttle`" if name.endswith("_policy") else advice
