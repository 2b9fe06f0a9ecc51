"""Models of a reprocessing run: the run's own choice, then the location's, then the stream's."""

import pytest

from mmplatform.errors import Misconfigured
from mmplatform.settings import load
from resources.models import ModelsResource
from resources.reprocessing import ReprocessingResource


@pytest.fixture
def reprocessing(tmp_path, monkeypatch):
    for name, value in {"data_dir": tmp_path, "models_dir": tmp_path, "chroma_url": "http://127.0.0.1:9"}.items():
        monkeypatch.setenv(f"MMPLATFORM_{name.upper()}", str(value))
    monkeypatch.setenv("MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    monkeypatch.setenv("MMPLATFORM_ASR_MODEL", "the-streams")
    return ReprocessingResource(models=ModelsResource(asr_model="the-locations"))


@pytest.mark.parametrize(
    ("chosen", "loaded"),
    [({}, "the-locations"), ({"asr_model": "the-runs"}, "the-runs"), ({"asr_model": ""}, "the-locations")],
)
def test_the_runs_choice_comes_before_the_locations_and_that_before_the_streams(reprocessing, chosen, loaded):
    # None of them exists: the error names the first one that is opened.
    with pytest.raises(Misconfigured, match=loaded), reprocessing.open("transcripts", chosen):
        pass


def test_what_is_not_named_is_the_streams():
    assert ModelsResource().apply_to(load()) == load()
    assert ModelsResource(asr_model="large").apply_to(load()).ner_model == load().ner_model
