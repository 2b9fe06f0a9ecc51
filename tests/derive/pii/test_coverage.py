"""The coverage of a text's language: as the table of the finders has it, which real texts prove."""

from pathlib import Path

import pytest

from mmplatform.derive.pii.coverage import FINDER_LANGUAGES, spoken_coverage, written_coverage
from mmplatform.ports import DetectedLanguage
from tests.derive.pii.texts import redact_one

NAMES = {
    "ar": ("العميل محمد علي يتصل بخصوص الطلب", "محمد"),
    "de": ("Mein Name ist Jürgen Schäfer und ich warte", "Schäfer"),
    "el": ("Με λένε Γιώργο Παπαδόπουλο και περιμένω", "Παπαδόπουλο"),
    "en": ("my name is dana whitfield and I wait", "whitfield"),
    "es": ("Me llamo Lucía Fernández y espero", "Fernández"),
    "fr": ("Je m'appelle Amélie Lefèvre et j'attends", "Lefèvre"),
    "hi": ("मेरा नाम अमित शर्मा है", "शर्मा"),
    "it": ("Mi chiamo Giulia Ferrari e aspetto", "Ferrari"),
    "ja": ("担当の佐藤健一さんに伝えてください", "佐藤"),
    "ko": ("제 이름은 김민수입니다", "김민수"),
    "nl": ("Mijn naam is Sanne de Vries en ik wacht", "Vries"),
    "pl": ("Nazywam się Katarzyna Nowak i czekam", "Nowak"),
    "pt": ("Meu nome é João Pereira e aguardo", "Pereira"),
    "ru": ("меня зовут Иван Петров, жду ответа", "Петров"),
    "uk": ("Мене звати Олена Шевченко, чекаю", "Шевченко"),
    "zh": ("客户王小明来电", "王小明"),
}
LABELLED = {
    "ar": "تاريخ الميلاد: 12/03/1984",
    "de": "Geburtsdatum: 12.03.1984",
    "en": "date of birth: 12/03/1984",
    "es": "fecha de nacimiento: 12/03/1984",
    "fr": "date de naissance : 12/03/1984",
    "it": "data di nascita: 12/03/1984",
    "ja": "生年月日：1984年3月12日",
    "ko": "생년월일: 1984년 3월 12일",
    "nl": "geboortedatum: 12-03-1984",
    "pl": "data urodzenia: 12.03.1984",
    "pt": "data de nascimento: 12/03/1984",
    "ru": "дата рождения: 12.03.1984",
    "tr": "doğum tarihi: 12.03.1984",
    "zh": "出生日期：1984年3月12日",
}
ADDRESSES = {
    "ar": "العنوان: شارع التحرير، 15",
    "de": "Ich wohne in der Goethestraße 12, 10115 Berlin",
    "en": "I live at 42 Maple Street, Springfield",
    "es": "Vivo en Calle Mayor 12, 28013 Madrid",
    "fr": "J'habite 12 rue de la Paix, 75002 Paris",
    "it": "Abito in Via Garibaldi 12, 20121 Milano",
    "ja": "住所は東京都港区六本木1丁目2番3号です",
    "ko": "서울시 강남구 테헤란로 123",
    "nl": "Ik woon aan de Keizersgracht 12, 1015 CJ Amsterdam",
    "pl": "Mieszkam: ul. Marszałkowska 12, 00-590 Warszawa",
    "pt": "Moro na Rua Augusta, 12",
    "ru": "Живу: ул. Ленина, д. 12, кв. 5",
    "tr": "Adresim Atatürk Caddesi No: 12, Ankara",
    "zh": "地址：北京市朝阳区建国路88号",
}
DICTATED = {
    "de": "meine Kartennummer ist vier eins eins eins, zwei zwei fünf null, einundvierzig elf, zwölf drei drei",
    "en": "my card number is four one one one, two two five oh, forty one eleven, one two three three",
    "es": "mi tarjeta es cuatro uno uno uno, dos dos cinco cero, cuarenta y uno once, doce trece",
    "fr": "ma carte est quarante et un onze, vingt-deux cinquante, un un un un, quatre-vingt-dix-neuf deux trois",
    "it": "la mia carta è quattro uno uno uno, due due cinque zero, quarantuno undici, dodici tredici",
    "nl": "mijn kaart is vier een een een, twee twee vijf nul, eenenveertig elf, twaalf dertien",
    "pt": "meu cartão é quatro um um um, dois dois cinco zero, meia sete onze, doze treze",
}


def test_the_table_and_the_texts_name_the_same_languages():
    texts = {"names": NAMES, "labelled values": LABELLED, "addresses": ADDRESSES, "number words": DICTATED}
    assert {finder: frozenset(rows) for finder, rows in texts.items()} == dict(FINDER_LANGUAGES)


def test_the_page_on_personal_data_has_the_languages_of_each_finder():
    page = (Path(__file__).parents[3] / "docs" / "reference" / "personal-data.md").read_text(encoding="utf-8")
    for finder, languages in FINDER_LANGUAGES.items():
        assert f"| {finder} | {' '.join(sorted(languages))} |" in page


@pytest.mark.models
@pytest.mark.parametrize("language", sorted(NAMES))
def test_a_name_is_found_in_each_covered_language(redactor, language):
    text, name = NAMES[language]
    redacted = redact_one(redactor, text)
    assert "PERSON" in redacted.entities
    assert name not in redacted.text


@pytest.mark.models
@pytest.mark.parametrize(
    ("text", "entity"),
    [
        *((text, "BIRTH_DATE") for _, text in sorted(LABELLED.items())),
        *((text, "ADDRESS") for _, text in sorted(ADDRESSES.items())),
    ],
)
def test_a_labelled_value_and_an_address_are_found_in_each_covered_language(redactor, text, entity):
    assert entity in redact_one(redactor, text).entities


@pytest.mark.models
@pytest.mark.parametrize("language", sorted(DICTATED))
def test_a_dictated_card_is_found_in_each_covered_language(redactor, language):
    redacted = redact_one(redactor, DICTATED[language], spoken=True)
    assert redacted.entities == ("CARD",)
    assert redacted.text.endswith("[CARD]")


@pytest.mark.models
@pytest.mark.parametrize(
    "text",
    [
        "ich habe zwei oder drei Tage gewartet und dann vier Mails geschrieben",
        "hace dos o tres semanas que espero, ya son cuatro llamadas y cinco correos",
        "j'ai attendu deux ou trois semaines, puis un ou deux jours de plus",
        "ho pagato centoventi euro per due scarpe e tre magliette",
        "ik heb twee of drie weken gewacht en vier keer gebeld",
        "esperei duas ou três semanas e liguei quatro vezes",
    ],
)
def test_counts_in_words_stay(redactor, text):
    assert redact_one(redactor, text, spoken=True).text == redact_one(redactor, text).text == text


@pytest.mark.parametrize(
    ("code", "written", "spoken"),
    [
        ("en", "full", "full"),
        ("de", "full", "full"),
        ("ja", "full", "partial"),
        ("uk", "partial", "partial"),
        ("tr", "partial", "partial"),
        ("vi", "language_independent", "language_independent"),
        ("sw", "language_independent", "language_independent"),
        ("", "unknown", "unknown"),
    ],
)
def test_the_coverage_is_that_of_the_finders_that_know_the_language(code, written, spoken):
    assert written_coverage(DetectedLanguage(code, 0.9)) == written
    assert spoken_coverage(code, 0.9) == spoken


def test_a_language_that_the_speech_recogniser_has_guessed_is_unknown():
    assert spoken_coverage("de", 0.3) == "unknown"


@pytest.mark.models
def test_a_text_in_a_language_that_is_not_covered_says_so_and_loses_what_needs_no_language(redactor):
    text = "Xin chào, thẻ 4111 1111 1111 1111 của tôi bị từ chối, hãy viết cho tôi: lan@example.com"
    redacted = redact_one(redactor, text)
    assert (redacted.language.code, redacted.coverage) == ("vi", "language_independent")
    assert {"CARD", "EMAIL"} <= set(redacted.entities)
    assert not any(value in redacted.text for value in ("1111", "lan@", "example.com"))


@pytest.mark.models
def test_the_language_is_that_of_the_words_around_personal_data(redactor):
    redacted = redact_one(redactor, "my name is Иван Петров, mail ivan.petrov@pochta.example, please call me back")
    assert "PERSON" in redacted.entities
    assert (redacted.language.code, redacted.coverage) == ("en", "full")
    short = redact_one(redactor, "Иван Петров")
    assert (short.language.code, short.coverage) == ("", "unknown")


@pytest.mark.parametrize(("dialect", "language"), [("arz", "ar"), ("yue", "zh"), ("bar", "de"), ("sco", "en")])
def test_a_dialect_has_the_coverage_of_its_language(dialect, language):
    assert written_coverage(DetectedLanguage(dialect, 0.9)) == written_coverage(DetectedLanguage(language, 0.9))
    assert written_coverage(DetectedLanguage(dialect, 0.9)) != "language_independent"
