"""The real models, loaded once a session. A missing one fails with the command that gets it."""

import pytest

from mmplatform.derive.adapters.fasttext_language import FastTextLanguageDetector
from mmplatform.derive.adapters.model_files import locate_model
from mmplatform.derive.adapters.onnx_embedder import OnnxEmbedder
from mmplatform.settings import load


@pytest.fixture(scope="session")
def embedder():
    settings = load()
    return OnnxEmbedder(
        locate_model(settings.embedding_model, settings.models_path), threads=settings.embedding_threads
    )


@pytest.fixture(scope="session")
def redactor():
    from mmplatform.derive.pii.redactor import PresidioRedactor

    settings = load()
    languages = FastTextLanguageDetector(locate_model(settings.language_model, settings.models_path))
    return PresidioRedactor(locate_model(settings.ner_model, settings.models_path), languages=languages)
