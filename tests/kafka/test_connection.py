from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from mmplatform.errors import Busy, Misconfigured, TooLarge, Unavailable
from mmplatform.kafka.connection import admin_client, client_config, platform_error, quix_connection
from mmplatform.settings import load

SASL = {
    "kafka_bootstrap_servers": "broker:9093",
    "kafka_security_protocol": "SASL_SSL",
    "kafka_sasl_mechanism": "SCRAM-SHA-512",
    "kafka_sasl_username": "me",
    "kafka_sasl_password": "hush",
}


def test_a_missing_address_is_a_misconfiguration_that_names_the_setting_and_the_fix():
    with pytest.raises(Misconfigured, match=r"MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS .*mmplatform up"):
        client_config(load(kafka_bootstrap_servers=""))


def test_a_plain_broker_needs_only_its_address():
    config = client_config(load(kafka_bootstrap_servers="broker:9092", worker_instance_id="3"))
    assert config["bootstrap.servers"] == "broker:9092"
    assert config["security.protocol"] == "plaintext"
    assert config["client.id"] == "mmplatform-3"
    assert not any(key.startswith(("sasl.", "ssl.")) for key in config)


def test_sasl_and_tls_reach_librdkafka_and_quix_alike(tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_text("not read here")
    settings = load(**SASL, kafka_ca_file=str(ca))
    expected = {
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "me",
        "sasl.password": "hush",
        "ssl.ca.location": str(ca),
    }
    assert expected.items() <= client_config(settings).items()
    quix = quix_connection(settings)
    assert expected.items() <= quix.as_librdkafka_dict().items()
    assert "hush" not in repr(quix)


@pytest.mark.parametrize("missing", ["kafka_sasl_mechanism", "kafka_sasl_username", "kafka_sasl_password"])
def test_an_incomplete_login_names_the_missing_setting(missing):
    with pytest.raises(Misconfigured, match=f"MMPLATFORM_{missing.upper()}"):
        client_config(load(**SASL | {missing: ""}))


@pytest.mark.parametrize("setting", ["kafka_ca_file", "kafka_certificate_file", "kafka_key_file"])
def test_a_missing_certificate_is_named(setting, tmp_path):
    with pytest.raises(Misconfigured, match=f"MMPLATFORM_{setting.upper()}.*nowhere.pem"):
        client_config(
            load(kafka_bootstrap_servers="b", kafka_security_protocol="SSL", **{setting: str(tmp_path / "nowhere.pem")})
        )


def test_a_setting_that_librdkafka_refuses_is_a_misconfiguration():
    login = SASL | {"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_sasl_mechanism": "NOPE"}
    with pytest.raises(Misconfigured, match="NOPE") as caught:
        admin_client(load(**login))
    assert "hush" not in str(caught.value)


def test_an_invalid_certificate_is_a_misconfiguration(tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_text("this is no certificate")
    with pytest.raises(Misconfigured):
        admin_client(load(kafka_bootstrap_servers="b", kafka_security_protocol="SSL", kafka_ca_file=str(ca)))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (KafkaError._ALL_BROKERS_DOWN, Unavailable),
        (KafkaError._MSG_TIMED_OUT, Unavailable),
        (KafkaError._TIMED_OUT, Unavailable),
        (KafkaError.NOT_LEADER_FOR_PARTITION, Unavailable),
        (KafkaError._QUEUE_FULL, Busy),
        (KafkaError.MSG_SIZE_TOO_LARGE, TooLarge),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, Misconfigured),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, Misconfigured),
        (KafkaError._AUTHENTICATION, Misconfigured),
    ],
)
def test_kafkas_errors_become_platform_errors(code, expected):
    for error in (KafkaError(code), KafkaException(KafkaError(code))):
        found = platform_error(error, "writing to artifacts")
        assert type(found) is expected
        assert "writing to artifacts" in str(found)
