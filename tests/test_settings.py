"""What the environment means: empty variables, and wrong ones."""

from pathlib import Path

import pytest

from mmplatform.errors import Misconfigured
from mmplatform.settings import Settings, load


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    for name in Settings.model_fields:
        monkeypatch.delenv(f"MMPLATFORM_{name.upper()}", raising=False)


@pytest.mark.parametrize("name", Settings.model_fields)
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


def test_a_wrong_value_is_told_with_the_name_of_its_variable(monkeypatch):
    monkeypatch.setenv("MMPLATFORM_GATEWAY_PORT", "eighty")
    with pytest.raises(Misconfigured, match="MMPLATFORM_GATEWAY_PORT") as told:
        load()
    assert "eighty" not in str(told.value)
