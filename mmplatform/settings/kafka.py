"""Kafka: where the replay log is, how clients connect, how topics are created."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, SecretStr


class KafkaSettings(BaseModel):
    """Kafka."""

    kafka_bootstrap_servers: str = Field(
        default="", description="Bootstrap servers, `host:port,…`; empty: the embedded broker."
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="How to talk to Kafka."
    )
    kafka_sasl_mechanism: str = Field(default="", description="For example `PLAIN` or `SCRAM-SHA-512`.")
    kafka_sasl_username: str = Field(default="", description="SASL user.")
    kafka_sasl_password: SecretStr = Field(default=SecretStr(""), description="SASL password.")
    kafka_ca_file: str = Field(default="", description="CA certificates (PEM) that signed the brokers' certificates.")
    kafka_certificate_file: str = Field(default="", description="Client certificate (PEM) for mutual TLS.")
    kafka_key_file: str = Field(default="", description="Client key (PEM) for mutual TLS.")
    log_generation: int = Field(
        default=0,
        ge=0,
        le=2**31,
        description=(
            "Generation of the replay log. Raise it by one when the log begins again (another Kafka, a lost disk) or "
            "after the topic partitions were raised: what comes from then on is newer, whatever its offsets."
        ),
    )
    pseudonym_key: SecretStr = Field(
        default=SecretStr(""),
        description=(
            "Key of the subjects' pseudonyms in record headers, the same for all processes; empty: a random one in "
            "`pseudonym.key` in the data directory."
        ),
    )
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
        description="Retention of interactions and artifacts by record time, when created; -1 keeps all (an old event "
        "would vanish at once). An existing topic keeps its own; a difference is logged.",
    )
    kafka_max_poll_interval_s: float = Field(
        default=600.0,
        ge=10,
        description="Longest time that one micro-batch may take before Kafka takes its topic partitions away.",
    )
