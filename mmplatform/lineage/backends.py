"""Backends of lineage events: a file, an HTTP address or a Kafka topic, by the transports of openlineage-python.

Each transport makes one short attempt: the caller decides about retries.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from mmplatform.errors import Misconfigured, Rejected, Unavailable
from mmplatform.lineage.emitter import LineageBackend
from mmplatform.lineage.names import lineage_topic
from mmplatform.lineage.rotated_file import RotatedFileBackend, lineage_file
from mmplatform.settings import Settings

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent
    from openlineage.client.transport.kafka import KafkaTransport
    from requests import Session

TIMEOUT_S: Final = 5.0
"""For one event; a slower backend counts as not answering."""

_FILE: Final = "file:"
_ENDPOINT: Final = "api/v1/lineage"
_RETRYABLE: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})

KafkaConfig = Callable[[Settings], dict[str, Any]]


def open_backend(settings: Settings, kafka: KafkaConfig) -> LineageBackend:
    """The backend that ``MMPLATFORM_OPENLINEAGE_URL`` names, else the rotated file. No connection is made.

    Args:
        settings: with lineage not turned off.
        kafka: the configuration of this installation's Kafka clients.

    Raises:
        Misconfigured: the setting is not usable.
    """
    if not settings.openlineage_url:
        return RotatedFileBackend(lineage_file(settings.data_dir))
    if settings.openlineage_url.startswith(_FILE):
        return FileBackend(Path(settings.openlineage_url.removeprefix(_FILE)))
    if topic := lineage_topic(settings):
        return KafkaBackend(topic, kafka(settings))
    return HttpBackend(settings.openlineage_url, settings.openlineage_token.get_secret_value())


class FileBackend:
    """Appends one line per event to a file that several processes may write."""

    def __init__(self, path: Path) -> None:
        from openlineage.client.transport.file import FileConfig, FileTransport

        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Misconfigured(
                f"MMPLATFORM_OPENLINEAGE_URL: {path.parent} cannot be created: {error.strerror}"
            ) from error
        self._transport = FileTransport(FileConfig(log_file_path=str(path), append=True))

    def send(self, event: RunEvent) -> None:
        """Append. Raises Unavailable: a full disk may get space again."""
        try:
            self._transport.emit(event)
        except RuntimeError as error:
            raise Unavailable(f"the lineage file cannot be written: {type(error.__cause__).__name__}") from error

    def close(self) -> None:
        """Do nothing: the file is open only while it is written."""


class HttpBackend:
    """Posts each event. An address without a path gets OpenLineage's default path."""

    def __init__(self, address: str, token: str) -> None:
        from openlineage.client.transport.http import ApiKeyTokenProvider, HttpConfig, HttpTransport, TokenProvider

        parts = urlsplit(address)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if not parts.hostname or port == -1:
            raise Misconfigured("MMPLATFORM_OPENLINEAGE_URL: the address has no host, or a wrong port")
        path = parts.path.strip("/")
        self._origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._transport = HttpTransport(
            HttpConfig(
                url=f"{parts.scheme}://{parts.netloc}",
                endpoint=(path or _ENDPOINT) + (f"?{parts.query}" if parts.query else ""),
                timeout=TIMEOUT_S,
                auth=ApiKeyTokenProvider({"apiKey": token}) if token else TokenProvider({}),
                session=_session(parts.hostname, token),
                retry={"total": 0, "status_forcelist": []},
            )
        )

    def send(self, event: RunEvent) -> None:
        """Post. Raises Rejected for a permanent client error, Unavailable for a server error or no answer."""
        import requests

        try:
            self._transport.emit(event)
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else HTTPStatus.BAD_GATEWAY
            problem = f"{self._origin} answers {status}"
            if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _RETRYABLE:
                raise Rejected(f"{problem}: {_remedy(status)}") from None
            raise Unavailable(problem) from None
        except requests.TooManyRedirects:
            raise Rejected(
                f"{self._origin} answers with another address: set MMPLATFORM_OPENLINEAGE_URL to that"
            ) from None
        except requests.RequestException as error:
            raise Unavailable(f"{self._origin} does not answer ({type(error).__name__})") from None

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()


def _session(host: str, token: str) -> Session:
    import requests

    session = requests.Session()
    # A redirected POST becomes a GET, whose answer does not confirm the event.
    session.max_redirects = 0
    if host in _LOCAL_HOSTS:
        session.trust_env = False  # a proxy of the environment does not reach this machine's loopback
    if token:
        session.auth = lambda request: request  # otherwise an entry in .netrc replaces the token
    return session


def _remedy(status: int) -> str:
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return "fix MMPLATFORM_OPENLINEAGE_TOKEN"
    if status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:
        return "fix the path in MMPLATFORM_OPENLINEAGE_URL"
    return "it refuses the event"


class KafkaBackend:
    """Produces each event to a topic and waits for its acknowledgement."""

    def __init__(self, topic: str, config: dict[str, Any]) -> None:
        from confluent_kafka import KafkaException

        # The client gives up at the same timeout: the whole event is sent again.
        config = config | {"linger.ms": 0, "message.timeout.ms": int(TIMEOUT_S * 1000)}
        try:
            self._transport = _transport(topic, config)
        except KafkaException as error:
            raise Misconfigured(f"Kafka settings: {error.args[0].str()} (see MMPLATFORM_KAFKA_*)") from None

    def send(self, event: RunEvent) -> None:
        """Produce. Raises Unavailable, Rejected (too large)."""
        from confluent_kafka import KafkaError, KafkaException

        try:
            self._transport.emit(event)
        except BufferError:
            raise Unavailable("lineage: the producer's queue is full") from None
        except KafkaException as error:
            cause: KafkaError = error.args[0]
            if cause.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                raise Rejected("a lineage event is larger than its topic takes (max.message.bytes)") from None
            raise Unavailable(
                f"lineage: {cause.name()} (is the broker at MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS up?)"
            ) from None

    def close(self) -> None:
        """Close the producer, whose queue is empty: each send waits for its acknowledgement."""
        self._transport.close(timeout=0)


def _transport(topic: str, config: dict[str, Any]) -> KafkaTransport:
    """OpenLineage's Kafka transport, but raising when an event is not delivered, which the original only logs."""
    from confluent_kafka import KafkaError, KafkaException
    from openlineage.client.serde import Serde
    from openlineage.client.transport import kafka

    class Transport(kafka.KafkaTransport):
        def emit(self, event: Any) -> None:
            producer: Any = self.producer
            outcome: Any = KafkaError(KafkaError._TIMED_OUT)  # noqa: SLF001 - a client-side code

            def on_delivery(error: Any, _: Any) -> None:
                nonlocal outcome
                outcome = error

            key, value = self._get_message_key(event), Serde.to_json(event).encode()
            producer.produce(self.topic, key=key, value=value, on_delivery=on_delivery)
            producer.flush(TIMEOUT_S * 2)
            if outcome is not None:
                raise KafkaException(outcome)

    return Transport(kafka.KafkaConfig(config=config, topic=topic))
