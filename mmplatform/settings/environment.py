"""The only reader of the environment. Every setting is documented in docs/reference/configuration.md; a test compares.

Empty addresses mean "the embedded one": the local stack fills them in for its workers. A real Kafka, S3, Chroma server
or Iceberg catalog replaces the embedded one by setting its address, and nothing else changes.

An empty variable is an unset one: `MMPLATFORM_DATA_DIR=` would otherwise be the current directory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from mmplatform.errors import Misconfigured
from mmplatform.settings.backpressure import BackpressureSettings
from mmplatform.settings.dagster import DagsterSettings
from mmplatform.settings.gateway import GatewaySettings
from mmplatform.settings.kafka import KafkaSettings
from mmplatform.settings.lineage import LineageSettings
from mmplatform.settings.models import ModelSettings
from mmplatform.settings.renamed import refuse_renamed
from mmplatform.settings.stores import StoreSettings
from mmplatform.settings.workers import WorkerSettings

PREFIX: Final = "MMPLATFORM_"


class Setting(NamedTuple):
    """One variable: its name without the prefix, in small letters, and its value."""

    name: str
    value: Any
    description: str


class Settings(
    DagsterSettings,
    LineageSettings,
    BackpressureSettings,
    WorkerSettings,
    GatewaySettings,
    ModelSettings,
    StoreSettings,
    KafkaSettings,
    BaseSettings,
):
    """Settings of one process, from ``MMPLATFORM_*`` variables."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        # MMPLATFORM_CHAT_HIGH_WATER is ``chat.high_water``; the thresholds that are not set keep their defaults.
        env_nested_delimiter="_",
        env_nested_max_split=1,
        nested_model_default_partial_update=True,
        extra="ignore",
        frozen=True,
    )

    kafka_bootstrap_servers: str = Field(
        default="", description="Bootstrap servers, `host:port,…`; empty: the embedded broker."
    )
    kafka_security_protocol: Literal[PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL] = Field(
        default="PLAINTEXT", description="How to talk to Kafka."
    )
    kafka_sasl_mechanism: str = Field(default="", description="For example `PLAIN` or `SCRAM-SHA-512`.")
    kafka_sasl_username: str = Field(default="", description="SASL user.")
    kafka_sasl_password: SecretStr = Field(default=SecretStr(""), description="SASL password.")
    kafka_ca_file: str = Field(default="", description="CA certificates (PEM) that signed the brokers' certificates.")
    kafka_certificate_file: str = Field(default="", description="Client certificate (PEM) for mutual TLS.")
    kafka_key_file: str = Field(default="", description="Client key (PEM) for mutual TLS.")
    topic_prefix: str = Field(default="", description="Put before every topic name, to share one Kafka.")
    topic_partitions: int = Field(
        default=4, ge=1, le=1000, description="Topic partitions of each interactions topic, when created."
    )
    topic_replication_factor: int = Field(
        default=1, ge=1, le=10, description="Replication factor of the topics, when created."
    )
    log_retention_ms: int = Field(
        default=-1,
        ge=-1,
        description="Retention of the replay log by record time; -1 keeps all (an old event would vanish at once).",
    )

    blob_store_url: str = Field(default="", description="`s3://bucket/prefix`; empty: files under the data directory.")
    s3_endpoint: str = Field(default="", description="URL of an S3-compatible server; empty: AWS.")
    s3_region: str = Field(default="us-east-1", description="S3 region.")
    s3_access_key: str = Field(default="", description="S3 access key; empty: the AWS default chain.")
    s3_secret_key: SecretStr = Field(default=SecretStr(""), description="S3 secret key.")

    chroma_url: str = Field(default="", description="`http://host:port` of a Chroma server; empty: the embedded one.")
    chroma_token: SecretStr = Field(
        default=SecretStr(""), description="Token for the Chroma server, sent as a bearer token."
    )

    iceberg_catalog: str = Field(
        default="",
        description=(
            "Iceberg catalog: `postgresql+psycopg2://…`, `rest+http(s)://…`, `rest+sigv4+http(s)://…` or `glue://`; "
            "empty: SQLite in the data directory."
        ),
    )
    iceberg_catalog_token: SecretStr = Field(
        default=SecretStr(""), description="Bearer token for a REST catalog; `rest+sigv4+…` uses the S3 keys instead."
    )
    iceberg_warehouse: str = Field(
        default="", description="Where Iceberg writes: `s3://…` or a path; empty: under the data directory."
    )
    iceberg_namespace: str = Field(
        default="mmplatform", pattern=r"^[a-z][a-z0-9_]*$", description="Iceberg namespace of the tables."
    )

    models_dir: Path | None = Field(
        default=None, description="Where model directories lie; empty: `models` in the user's cache directory."
    )
    asr_model: str = Field(
        default="whisper-base", description="Name of a pulled model, a directory, or a hub name (faster-whisper)."
    )
    asr_beam_size: int = Field(default=1, ge=1, le=10, description="Beam size of ASR.")
    asr_threads: int = Field(default=1, ge=1, le=64, description="Threads of one ASR process.")
    asr_language: Annotated[str, AfterValidator(_detected_when_auto)] = Field(
        default="en",
        description=(
            "Language code to expect in calls; `auto`: detect. The default redactor and embedder are English too."
        ),
    )
    embedding_model: str = Field(default="minilm", description="Name of a pulled text embedder, or a directory.")
    embedding_threads: int = Field(default=1, ge=1, le=64, description="Threads of one embedding session.")
    ner_model: str = Field(
        default="en-sm", description="Name of a pulled spaCy model for names in texts, or a directory."
    )
    ocr_threads: int = Field(default=2, ge=1, le=64, description="Threads of one OCR session.")
    caption_model: str = Field(
        default="",
        description=(
            "Directory or hub name of an image-text-to-text model (extra `caption`); empty: "
            "captions from OCR and layout."
        ),
    )

    gateway_host: str = Field(default="127.0.0.1", description="Address on which the gateway listens.")
    gateway_port: int = Field(
        default=8080, ge=0, le=65535, description="Port of the gateway; a free one is taken when it is in use."
    )
    gateway_reuse_port: bool = Field(
        default=False,
        description="Let another gateway of this user listen on the same port, as `mmplatform restart` wants it.",
    )
    max_chat_chars: int = Field(default=20_000, ge=1, description="Longest chat message, in characters.")
    max_chunk_bytes: int = Field(default=8_000_000, ge=1, description="Largest audio chunk, in bytes.")
    max_image_bytes: int = Field(default=20_000_000, ge=1, description="Largest screenshot file, in bytes.")
    max_image_pixels: int = Field(
        default=50_000_000, ge=1, description="Largest screenshot, in pixels (decompression bombs)."
    )
    max_future_s: float = Field(
        default=300.0, ge=0, description="How far ahead of our clock an event time may lie, in seconds."
    )

    max_inflight_body_bytes: int = Field(
        default=256_000_000,
        ge=1,
        description="Bytes of requests in hand at once, above which the gateway answers 429; one is always taken.",
    )

    derive_commit_interval_s: float = Field(
        default=0.05, gt=0, le=60, description="Micro-batch interval of the derivers, in seconds."
    )
    derive_max_batch_size: int = Field(
        default=64, ge=1, le=10_000, description="Most events in one micro-batch of a deriver."
    )
    index_commit_interval_s: float = Field(
        default=0.05, gt=0, le=60, description="Commit interval of the indexer, in seconds."
    )
    index_max_batch_size: int = Field(default=128, ge=1, le=5_000, description="Most passages in one upsert.")
    archive_commit_interval_s: float = Field(
        default=15.0, gt=0, le=3600, description="Commit interval of the archiver, in seconds."
    )
    archive_max_batch_size: int = Field(default=20_000, ge=1, description="Most rows in one archiver commit.")
    call_gap_timeout_s: float = Field(
        default=3.0, gt=0, description="How long a missing audio chunk is waited for, in seconds."
    )
    call_idle_timeout_s: float = Field(
        default=8.0, gt=0, description="Silence from the source after which a call's pending audio is derived."
    )
    kafka_max_poll_interval_s: float = Field(
        default=600.0,
        ge=10,
        description="Longest time that one micro-batch may take before Kafka takes its topic partitions away.",
    )

    openlineage_url: str = Field(
        default="",
        pattern=r"^(file:.+|https?://.+|kafka(:[A-Za-z0-9._-]+)?)?$",
        description=(
            "Where OpenLineage events go: `file:PATH`, `http(s)://…`, `kafka` or `kafka:TOPIC`; empty: nowhere."
        ),
    )
    openlineage_token: SecretStr = Field(
        default=SecretStr(""), description="Bearer token for a lineage backend that is called over HTTP."
    )
    openlineage_namespace: str = Field(
        default="mmplatform", min_length=1, description="OpenLineage namespace of the jobs of this installation."
    )

    alert_webhook_url: SecretStr = Field(
        default=SecretStr(""),
        description="URL to which a failed Dagster run is told, as JSON by POST; empty: nobody is told.",
    )

    dagster_postgres_url: Annotated[SecretStr, AfterValidator(_database)] = Field(
        default=SecretStr(""),
        description=(
            "`postgresql+psycopg2://user:password@host:port/database` for Dagster's runs and events (extra "
            "`postgres`); empty: SQLite in the data directory."
        ),
    )
    dagster_compute_logs_url: str = Field(
        default="",
        pattern=r"^(s3://[^/?#]+(/[^?#]*)?)?$",
        description=(
            "`s3://bucket/prefix` for what Dagster's steps print, with the S3 settings; empty: the data directory."
        ),
    )
    dagster_port: int = Field(default=3000, ge=0, le=65535, description="Port of the Dagster UI.")
    dagster_event_retention_days: float = Field(
        default=7.0,
        gt=0,
        description="Days for which Dagster's runs and asset events are kept; the newest of each partition stays.",
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
    log_level: Literal[debug, info, warning, error] = Field(default="info", description="Least level that is logged.")
    log_format: Literal[console, json] = Field(default="console", description="How log lines look.")

    @property
    def models_path(self) -> Path:
        """Where model directories lie: shared by all checkouts of one user, so that they are downloaded once."""
        return self.models_dir or Path.home() / ".cache" / "mmplatform" / "models"

    @property
    def blobs_dir(self) -> Path:
        """Where blobs lie when no object store is configured."""
        return self.data_dir / "blobs"

    @property
    def warehouse_location(self) -> str:
        """Where Iceberg writes: a URI, or the plain absolute path of a local folder."""
        if "://" in self.iceberg_warehouse:
            return self.iceberg_warehouse
        folder = Path(self.iceberg_warehouse) if self.iceberg_warehouse else self.data_dir / "lakehouse" / "warehouse"
        return str(folder.absolute())

    def flattened(self) -> Iterator[Setting]:
        """Every setting as the variable that sets it; nested models field by field."""
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if not isinstance(value, BaseModel):
                yield Setting(name, value, field.description or "")
                continue
            for inner, described in type(value).model_fields.items():
                yield Setting(f"{name}_{inner}", getattr(value, inner), described.description or "")


def secret_text(value: object) -> object:
    """A setting's value with a secret in the clear."""
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def env_var_name(setting: str) -> str:
    """The variable that holds a setting, empty when it is unset: for those who pass on its name and not its value."""
    name = f"{PREFIX}{setting.upper()}"
    return name if os.environ.get(name) else ""


def load(**overrides: object) -> Settings:
    """Read the environment.

    Raises:
        Misconfigured: a variable has a wrong value, or an old name; the message names it.
    """
    if unknown := overrides.keys() - Settings.model_fields.keys():
        raise TypeError(f"no such settings: {', '.join(sorted(unknown))}")
    refuse_renamed(os.environ, PREFIX)
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        wrong = "; ".join(
            f"{PREFIX}{'_'.join(str(part) for part in e['loc']).upper()}: {e['msg']}"
            for e in error.errors(include_input=False, include_url=False)
        )
        raise Misconfigured(f"wrong settings: {wrong} (see docs/reference/configuration.md)") from None
