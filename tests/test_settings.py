"""What the environment means: empty variables, and wrong ones."""

from pathlib import Path

import pytest
from pydantic_settings import SettingsError

from mmplatform.errors import Misconfigured
from mmplatform.settings import Settings, load
from mmplatform.settings.renamed import RENAMED, refuse_renamed
from tests.setting_names import SETTING_NAMES

# Written out once and for all: a name that leaves the table of the code must not leave the test.
OLD_NAMES = {
    "MMPLATFORM_KAFKA": "MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS",
    "MMPLATFORM_TOPIC_REPLICAS": "MMPLATFORM_TOPIC_REPLICATION_FACTOR",
    "MMPLATFORM_MAX_POLL_S": "MMPLATFORM_KAFKA_MAX_POLL_INTERVAL_S",
    "MMPLATFORM_BLOBS": "MMPLATFORM_BLOB_STORE_URL",
    "MMPLATFORM_CHROMA": "MMPLATFORM_CHROMA_URL",
    "MMPLATFORM_CATALOG": "MMPLATFORM_ICEBERG_CATALOG",
    "MMPLATFORM_CATALOG_TOKEN": "MMPLATFORM_ICEBERG_CATALOG_TOKEN",
    "MMPLATFORM_WAREHOUSE": "MMPLATFORM_ICEBERG_WAREHOUSE",
    "MMPLATFORM_NAMESPACE": "MMPLATFORM_ICEBERG_NAMESPACE",
    "MMPLATFORM_EMBEDDER": "MMPLATFORM_EMBEDDING_MODEL",
    "MMPLATFORM_EMBED_THREADS": "MMPLATFORM_EMBEDDING_THREADS",
    "MMPLATFORM_ASR_BEAM": "MMPLATFORM_ASR_BEAM_SIZE",
    "MMPLATFORM_GATEWAY_SHARE_PORT": "MMPLATFORM_GATEWAY_REUSE_PORT",
    "MMPLATFORM_MAX_HELD_BYTES": "MMPLATFORM_MAX_INFLIGHT_BODY_BYTES",
    "MMPLATFORM_DERIVE_COMMIT_S": "MMPLATFORM_DERIVE_COMMIT_INTERVAL_S",
    "MMPLATFORM_DERIVE_BATCH": "MMPLATFORM_DERIVE_MAX_BATCH_SIZE",
    "MMPLATFORM_INDEX_COMMIT_S": "MMPLATFORM_INDEX_COMMIT_INTERVAL_S",
    "MMPLATFORM_INDEX_BATCH": "MMPLATFORM_INDEX_MAX_BATCH_SIZE",
    "MMPLATFORM_ARCHIVE_COMMIT_S": "MMPLATFORM_ARCHIVE_COMMIT_INTERVAL_S",
    "MMPLATFORM_ARCHIVE_BATCH": "MMPLATFORM_ARCHIVE_MAX_BATCH_SIZE",
    "MMPLATFORM_CALL_GAP_S": "MMPLATFORM_CALL_GAP_TIMEOUT_S",
    "MMPLATFORM_CALL_IDLE_S": "MMPLATFORM_CALL_IDLE_TIMEOUT_S",
    "MMPLATFORM_INDEX_STATUS": "MMPLATFORM_INDEX_STATUS_URL",
    "MMPLATFORM_INSTANCE": "MMPLATFORM_WORKER_INSTANCE_ID",
    "MMPLATFORM_LINEAGE": "MMPLATFORM_OPENLINEAGE_URL",
    "MMPLATFORM_LINEAGE_TOKEN": "MMPLATFORM_OPENLINEAGE_TOKEN",
    "MMPLATFORM_LINEAGE_NAMESPACE": "MMPLATFORM_OPENLINEAGE_NAMESPACE",
    "MMPLATFORM_DAGSTER_POSTGRES": "MMPLATFORM_DAGSTER_POSTGRES_URL",
    "MMPLATFORM_DAGSTER_LOGS": "MMPLATFORM_DAGSTER_COMPUTE_LOGS_URL",
    "MMPLATFORM_EVENT_LOG_DAYS": "MMPLATFORM_DAGSTER_EVENT_RETENTION_DAYS",
    "MMPLATFORM_ALERT_WEBHOOK": "MMPLATFORM_ALERT_WEBHOOK_URL",
    "MMPLATFORM_CHAT_POLICY": "MMPLATFORM_CHAT_BACKPRESSURE_POLICY",
    "MMPLATFORM_CHAT_HIGH_AGE_S": "MMPLATFORM_CHAT_HIGH_WATER_AGE_S",
    "MMPLATFORM_CHAT_LOW_AGE_S": "MMPLATFORM_CHAT_LOW_WATER_AGE_S",
    "MMPLATFORM_CALL_POLICY": "MMPLATFORM_CALL_BACKPRESSURE_POLICY",
    "MMPLATFORM_CALL_HIGH_AGE_S": "MMPLATFORM_CALL_HIGH_WATER_AGE_S",
    "MMPLATFORM_CALL_LOW_AGE_S": "MMPLATFORM_CALL_LOW_WATER_AGE_S",
    "MMPLATFORM_SCREENSHOT_POLICY": "MMPLATFORM_SCREENSHOT_BACKPRESSURE_POLICY",
    "MMPLATFORM_SCREENSHOT_HIGH_AGE_S": "MMPLATFORM_SCREENSHOT_HIGH_WATER_AGE_S",
    "MMPLATFORM_SCREENSHOT_LOW_AGE_S": "MMPLATFORM_SCREENSHOT_LOW_WATER_AGE_S",
}


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    for name in SETTING_NAMES:
        monkeypatch.delenv(f"MMPLATFORM_{name.upper()}", raising=False)


@pytest.mark.parametrize("name", SETTING_NAMES)
def test_an_empty_variable_means_the_default(monkeypatch, name):
    monkeypatch.setenv(f"MMPLATFORM_{name.upper()}", "")
    assert load() == Settings()


def test_models_do_not_fall_into_the_current_directory(monkeypatch):
    monkeypatch.setenv("MMPLATFORM_MODELS_DIR", "")
    assert load().models_path == Path.home() / ".cache" / "mmplatform" / "models"


def test_auto_is_the_language_that_is_detected(monkeypatch):
    assert load().asr_language == "en"
    for word in ("auto", "AUTO"):
        monkeypatch.setenv("MMPLATFORM_ASR_LANGUAGE", word)
        assert load().asr_language == ""
    monkeypatch.setenv("MMPLATFORM_ASR_LANGUAGE", "de")
    assert load().asr_language == "de"


def test_a_wrong_value_is_reported_with_the_name_of_its_variable(monkeypatch):
    monkeypatch.setenv("MMPLATFORM_GATEWAY_PORT", "eighty")
    with pytest.raises(Misconfigured, match="MMPLATFORM_GATEWAY_PORT") as raised:
        load()
    assert "eighty" not in str(raised.value)


@pytest.mark.parametrize(("old", "new"), OLD_NAMES.items())
def test_an_old_name_is_refused_with_its_new_one(monkeypatch, old, new):
    monkeypatch.setenv(old, "1")
    with pytest.raises(Misconfigured, match=rf"{old} is now {new}\b.*docs/explanation/renames\.md"):
        load()


@pytest.mark.parametrize(("old", "new"), OLD_NAMES.items())
def test_an_old_name_in_small_letters_is_refused_too(monkeypatch, old, new):
    """The reader of the environment ignores the case of a name."""
    monkeypatch.setenv(old.lower(), "1")
    with pytest.raises(Misconfigured, match=rf"{old} is now {new}\b"):
        load()


def test_the_refusal_of_an_old_policy_names_the_new_value():
    environment = {"MMPLATFORM_CALL_POLICY": "slow"}
    with pytest.raises(Misconfigured, match="`slow` is now `throttle`"):
        refuse_renamed(environment, "MMPLATFORM_")


@pytest.mark.parametrize("value", ["foo", "{}", '{"high_water": 7}'])
@pytest.mark.parametrize("name", ["MMPLATFORM_CHAT", "MMPLATFORM_CALL", "MMPLATFORM_SCREENSHOT", "mmplatform_chat"])
def test_the_name_of_a_group_of_thresholds_is_refused_with_the_names_to_set(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(Misconfigured, match=rf"{name.upper()} is no setting: .*{name.upper()}_HIGH_WATER"):
        load()


def test_an_unreadable_environment_is_a_platform_error(monkeypatch):
    def fail(*_args, **_kwargs):
        raise SettingsError('error parsing value for field "x"')

    monkeypatch.setattr(Settings, "__init__", fail)
    with pytest.raises(Misconfigured, match="error parsing"):
        load()


def test_an_old_name_that_is_empty_is_as_good_as_unset(monkeypatch):
    monkeypatch.setenv("MMPLATFORM_KAFKA", "")
    assert load() == Settings()


def test_a_setting_is_renamed_to_one_that_exists():
    assert set(RENAMED.values()) <= set(SETTING_NAMES)
    assert not RENAMED.keys() & set(SETTING_NAMES)
    assert {f"MMPLATFORM_{old.upper()}" for old in RENAMED} == OLD_NAMES.keys()


def test_a_threshold_that_is_set_leaves_the_others_at_the_defaults_of_the_modality(monkeypatch):
    monkeypatch.setenv("MMPLATFORM_CALL_HIGH_WATER", "7")
    assert load().call == Settings().call.model_copy(update={"high_water": 7})
    assert load().call.low_water == 500
    assert load().chat.high_water == 20_000


def test_a_wrong_threshold_is_reported_with_the_name_of_its_variable(monkeypatch):
    monkeypatch.setenv("MMPLATFORM_CHAT_BACKPRESSURE_POLICY", "slow")
    with pytest.raises(Misconfigured, match="MMPLATFORM_CHAT_BACKPRESSURE_POLICY"):
        load()
