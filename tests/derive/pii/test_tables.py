"""Values below a header and addresses that a sentence announces leave a text; tables of facts and plain talk stay."""

import pytest

from mmplatform.derive.pii.tables import with_headers
from tests.derive.pii.test_redactor import check_spans
from tests.derive.pii.texts import redact_one

TABLES = [
    ("Name;CVV;PIN\ndana whitfield;123;4471", "Name;CVV;PIN\n[PERSON];[CVV];[PIN]"),
    (
        "name\tsort code\tpassword\nDana Whitfield\t20-30-40\thunter2",
        "name\tsort code\tpassword\n[PERSON]\t[BANK_ACCOUNT]\t[PASSWORD]",
    ),
    (
        'Sort code,Street address\n92-01-07,"Flat 4, Megan Villages"',
        'Sort code,Street address\n[BANK_ACCOUNT],"[ADDRESS]"',
    ),
    (
        "| Name | CVV |\n|---|---|\n| dana whitfield | 123 |\n| john smith | 456 |",
        "| Name | CVV |\n|---|---|\n| [PERSON] | [CVV] |\n| [PERSON] | [CVV] |",
    ),
    (
        "<table><tr><th>Name</th><th>CVV</th></tr><tr><td>john smith</td><td>123</td></tr></table>",
        "<table><tr><th>Name</th><th>CVV</th></tr><tr><td>[PERSON]</td><td>[CVV]</td></tr></table>",
    ),
    ("Kunde;Prüfziffer;Straße\nRaphael Römer;987;Lorenzring 3", "Kunde;Prüfziffer;Straße\n[PERSON];[CVV];[ADDRESS]"),
]
ANNOUNCED = [
    ("Please ship it to 812 Carter Fort, East Peter 27606 instead.", "Please ship it to [ADDRESS] instead."),
    ("I live at Studio 7, Carole Keys.", "I live at [ADDRESS]."),
    ("I live at Flat 54X, Suzanne Corners, Lake Derekmouth CF7 6XU.", "I live at [ADDRESS]."),
    ("Vivo en Glorieta Abraham Canet 75.", "Vivo en [ADDRESS]."),
    ("J'habite au boulevard Jourdan.", "J'habite au [ADDRESS]."),
    ("my skype is pward", "my skype is [HANDLE]"),
    ("my handle there is @robinmartinez", "my handle there is [HANDLE]"),
    ("I typed 9997 at the ATM as my PIN", "I typed [PIN] at the ATM as my PIN"),
    ("three digits behind the signature strip: 155", "three digits behind the signature strip: [CVV]"),
    ("bank details: 16-63-69 3924556851", "bank details: [BANK_ACCOUNT]"),
    ("Security code               563\nItem                        Yeti mug",
     "Security code               [CVV]\nItem                        Yeti mug"),
]  # fmt: skip
MISREAD = [
    ("refund to GB82 WEST 1234 5698\n> 7654 32 please", "refund to [IBAN] please"),
    ("card 4111 1111\n> 1111 1111", "card [CARD]"),
    ("our office in town, (204)\n    872-2072, it is closed", "our office in town, [PHONE], it is closed"),
    ("portable : +33 1 28 08 45\n    94", "portable : [PHONE]"),
    ("Mobile +44745Z2S75Z8", "Mobile [PHONE]"),
    ("PAN S|S9B7bBo4oBZ7S9", "PAN [CARD]"),
    ("Street address Studio 6, Oliver Bypass, Lake Lesliechester W3 0PE", "Street address [ADDRESS]"),
]
HARMLESS = [
    "> 12 items\n> 30 boxes",
    "1) unplug it\n  2) wait",
    "serial SO1BBS0lI2Z",
    "Street address is required",
    "order,amount,status\nLF-1,12,ok\nLF-2,13,failed",
    "Pages 5, 6, 7\nLines 3, 4, 5",
    "item;quantity;price\nmug;2;19.90\ncable;1;4.50",
    "I moved to Berlin 2019",
    "ship it to Germany 3 times",
    "we sent it to support 3 times",
    "my skype is broken",
    '{"version": "8.24.5.5"}',
    "<td>Version</td><td>7.26.4.8</td>",
    "Order                       7659328157-01",
]


@pytest.mark.models
@pytest.mark.parametrize(("text", "expected"), [*TABLES, *ANNOUNCED, *MISREAD])
def test_a_value_leaves_a_text(redactor, text, expected):
    result = redact_one(redactor, text)
    assert result.text == expected
    check_spans(text, result)


@pytest.mark.models
@pytest.mark.parametrize("text", HARMLESS)
def test_a_table_of_facts_and_plain_talk_stay(redactor, text):
    assert redact_one(redactor, text).text == text


def test_a_cell_is_read_after_its_header_and_maps_back():
    text = 'a name;code\n"Dana W";12'
    reading = with_headers(text)
    assert reading.text == "a name: Dana W\ncode: 12\n"
    start = reading.text.index("Dana W")
    assert text[slice(*reading.original_span(start, start + 6))] == "Dana W"


@pytest.mark.parametrize("text", ["one line; of text", "no delimiter\nhere", "1234;5678\n1;2", "a;b\nonly one cell"])
def test_a_text_without_a_header_is_no_table(text):
    assert with_headers(text) is None


def test_a_large_table_is_bounded():
    reading = with_headers("a;b\n" + "1;2\n" * 50_000)
    assert reading.text.count("\n") <= 2_000
