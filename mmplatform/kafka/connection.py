"""Connection settings of every Kafka client: addresses, SASL, TLS, and the mapping of Kafka's errors.

Callers: the producer, the topics, the reader, and the Quix shells (through :func:`quix_connection`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from mmplatform.errors import Busy, Misconfigured, PlatformError, TooLarge, Unavailable
from mmplatform.settings import Settings

if TYPE_CHECKING:
    from quixstreams.kafka.configuration import ConnectionConfig

COMMON_CLIENT_CONFIG: Final[Mapping[str, Any]] = {
    # Reconnect to a restarted broker within a second (librdkafka's own maximum is ten).
    "reconnect.backoff.max.ms": 1_000,
    # Discover new topic partitions within a minute (librdkafka's own interval is five).
    "topic.metadata.refresh.interval.ms": 60_000,
    # A small request must not wait 40 ms for the acknowledgement of the one before it.
    "socket.nagle.disable": True,
    # Silences librdkafka's own lines on stderr: relevant errors reach the platform, which logs each once.
    "log_level": 2,
}
"""Settings that are independent of the address. Quix takes these apart from the connection."""

_MISCONFIGURED: Final = frozenset(
    {
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - the underscore is librdkafka's mark of a client-side code
        KafkaError._INVALID_ARG,  # noqa: SLF001
        KafkaError._UNSUPPORTED_FEATURE,  # noqa: SLF001
        KafkaError._SSL,  # noqa: SLF001
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.INVALID_CONFIG,
        KafkaError.POLICY_VIOLATION,
    }
)


def client_config(settings: Settings) -> dict[str, Any]:
    """The librdkafka settings that every client shares; a fresh dict, to which a client adds its own.

    Raises:
        Misconfigured: no address, a missing certificate file, or an incomplete SASL login.
    """
    if not settings.kafka_bootstrap_servers:
        raise Misconfigured(
            "MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS is empty: start the embedded broker with `mmplatform up`, which sets "
            "it for its workers, or set it to the bootstrap servers of a Kafka (host:port,…)"
        )
    return {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "security.protocol": settings.kafka_security_protocol.lower(),
        "client.id": f"mmplatform-{settings.worker_instance_id}",
        **COMMON_CLIENT_CONFIG,
        **_sasl(settings),
        **_tls(settings),
    }


def quix_connection(settings: Settings) -> ConnectionConfig:
    """The same connection for Quix Streams: its ``Application(broker_address=...)``. Raises Misconfigured.

    Quix keeps the address, SASL and TLS and drops the rest, :data:`COMMON_CLIENT_CONFIG` too.
    """
    from quixstreams.kafka.configuration import ConnectionConfig

    return ConnectionConfig.from_librdkafka_dict(client_config(settings), ignore_extras=True)


def admin_client(settings: Settings) -> AdminClient:
    """Create an admin client. Keep the object alive while its futures are awaited. Raises Misconfigured."""
    return create_client(AdminClient, client_config(settings))


def create_client(client: Any, config: dict[str, Any]) -> Any:
    """Construct a Kafka client. Raises Misconfigured for a setting that librdkafka rejects."""
    try:
        return client(config)
    except KafkaException as error:
        raise Misconfigured(f"Kafka settings: {error.args[0].str()} (see MMPLATFORM_KAFKA_*)") from None


def platform_error(error: KafkaError | KafkaException, action: str) -> PlatformError:
    """Map a Kafka error to the platform's error tree; ``action`` names the operation: ``"writing to artifacts"``."""
    cause: KafkaError = error.args[0] if isinstance(error, KafkaException) else error
    code, message = cause.code(), f"{action}: {cause.name()}: {cause.str()}"
    if code == KafkaError._QUEUE_FULL:  # noqa: SLF001
        return Busy(f"{action}: the producer's queue is full", retry_after=1.0)
    if code == KafkaError.MSG_SIZE_TOO_LARGE:
        return TooLarge(f"{action}: the record is larger than the broker accepts (max.message.bytes)")
    if code in _MISCONFIGURED:
        return Misconfigured(f"{message} (check MMPLATFORM_KAFKA_* and that the topics exist)")
    return Unavailable(f"{message} (is the broker at MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS up?)")


def _sasl(settings: Settings) -> dict[str, str]:
    if not settings.kafka_security_protocol.startswith("SASL"):
        return {}
    login = {
        "kafka_sasl_mechanism": settings.kafka_sasl_mechanism,
        "kafka_sasl_username": settings.kafka_sasl_username,
        "kafka_sasl_password": settings.kafka_sasl_password.get_secret_value(),
    }
    _require_all(login, settings.kafka_security_protocol)
    return {name.removeprefix("kafka_").replace("_", "."): value for name, value in login.items()}


def _tls(settings: Settings) -> dict[str, str]:
    if "SSL" not in settings.kafka_security_protocol:
        return {}
    files = {
        "ssl.ca.location": ("kafka_ca_file", settings.kafka_ca_file),
        "ssl.certificate.location": ("kafka_certificate_file", settings.kafka_certificate_file),
        "ssl.key.location": ("kafka_key_file", settings.kafka_key_file),
    }
    for name, path in files.values():
        if path and not Path(path).is_file():
            raise Misconfigured(f"MMPLATFORM_{name.upper()}: there is no file {path}")
    return {key: path for key, (_, path) in files.items() if path}


def _require_all(values: dict[str, str], protocol: str) -> None:
    missing: Iterable[str] = [f"MMPLATFORM_{name.upper()}" for name, value in values.items() if not value]
    if missing:
        raise Misconfigured(f"{', '.join(missing)} must be set for the protocol {protocol}")
