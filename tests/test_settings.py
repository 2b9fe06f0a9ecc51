"""What the environment means: empty variables, and wrong ones."""

from pathlib import Path

import pytest

from mmplatform.errors import Misconfigured
from mmplatform.settings import Settings, load
from mmplatform.settings.renamed import RENAMED
from tests.setting_names import SETTING_NAMES


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


@pytest.mark.parametrize("old", RENAMED)
def test_an_old_name_is_refused_with_its_new_one(monkeypatch, old):
    monkeypatch.setenv(f"MMPLATFORM_{old.upper()}", "1")
    with pytest.raises(Misconfigured, match=f"MMPLATFORM_{old.upper()} is now MMPLATFORM_{RENAMED[old].upper()}"):
        load()


def test_an_old_name_that_is_empty_is_as_good_as_unset(monkeypatch):
    monkeypatch.setenv("MMPLATFORM_KAFKA", "")
    assert load() == Settings()


def test_a_setting_is_renamed_to_one_that_exists():
    assert set(RENAMED.values()) <= set(SETTING_NAMES)
    assert not RENAMED.keys() & set(SETTING_NAMES)


def test_a_threshold_that_is_set_leaves_the_others_at_the_defaults_of_the_modality(monkeypatch):
    monkeypatch.setenv("MMPLATFORM_CALL_HIGH_WATER", "7")
    assert load().call == Settings().call.model_copy(update={"high_water": 7})
    assert load().call.low_water == 500
    assert load().chat.high_water == 20_000


def test_a_wrong_threshold_is_reported_with_the_name_of_its_variable(monkeypatch):
    monkeypatch.setenv("MMPLATFORM_CHAT_BACKPRESSURE_POLICY", "slow")
    with pytest.raises(Misconfigured, match="MMPLATFORM_CHAT_BACKPRESSURE_POLICY"):
        load()
