"""The detector of languages, with its real model: sure, right, and silent where a text says too little."""

import pytest

from mmplatform.derive.adapters.fasttext_language import MIN_CONFIDENCE, FastTextLanguageDetector
from mmplatform.derive.adapters.model_files import locate_model
from mmplatform.errors import Misconfigured
from mmplatform.ports import DetectedLanguage
from mmplatform.settings import load

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def detector():
    settings = load()
    return FastTextLanguageDetector(locate_model(settings.language_model, settings.models_path))


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("where is my order?", "en"),
        ("WHERE IS MY REFUND", "en"),
        ("chrome 120.0.6099.109 crashes at checkout, order LF-204817", "en"),
        ("Meine Zahlung wurde abgelehnt", "de"),
        ("Mon paiement a été refusé", "fr"),
        ("¿cuándo llega mi paquete?", "es"),
        ("Il pagamento è stato rifiutato", "it"),
        ("O pagamento foi recusado", "pt"),
        ("Заказ ещё не пришёл", "ru"),
        ("订单还没有发货", "zh"),
        ("注文はまだ届いていません", "ja"),
        ("주문이 아직 도착하지 않았습니다", "ko"),
        ("الطلب لم يصل بعد", "ar"),
        ("Xin chào, đơn hàng của tôi chưa đến", "vi"),
        ("Sveiki, mano užsakymas dar neatvyko", "lt"),
        ("Hei, tilaukseni ei ole vielä saapunut", "fi"),
    ],
)
def test_the_language_of_a_sentence_is_detected(detector, text, language):
    found = detector.detect(text)
    assert found.code == language
    assert MIN_CONFIDENCE <= found.confidence <= 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "ok",
        "hi",
        "PIN?",
        "LF-204817",
        "4111 1111 1111 1111",
        "Hallo",
        "E-4012",
        "👍👍",
        "a@b.example",
        "?!",
        "好",
    ],
)
def test_a_text_that_says_too_little_has_no_language(detector, text):
    assert detector.detect(text) == DetectedLanguage()


def test_the_same_text_always_has_the_same_language_whatever_its_lines(detector):
    text = "Meine Zahlung wurde abgelehnt\nund das Geld ist weg\0\r\n\ud800"
    assert detector.detect(text) == detector.detect(text) == detector.detect(text.replace("\n", "  "))


def test_a_directory_without_the_model_names_the_cure(tmp_path):
    with pytest.raises(Misconfigured, match=r"no lid\.176\.ftz"):
        FastTextLanguageDetector(tmp_path)
    (tmp_path / "lid.176.ftz").write_bytes(b"no model at all")
    with pytest.raises(Misconfigured, match="mmplatform models pull"):
        FastTextLanguageDetector(tmp_path)
