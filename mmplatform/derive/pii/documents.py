"""Numbers of passports, driving licences, identity cards and tax offices after their label.

Presidio's recognizers of these (:mod:`mmplatform.derive.pii.predefined`) know each country's shape; a label with any
code behind it is a document all the same, as of a country that none of them knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mmplatform.derive.pii.labels import Found, Labelled, Page

_CODE: Final = (
    r"(?:(?-i:[A-Z]{1,5}[ \-])|"
    r"(?:[a-z] ){1,3})?[a-z0-9]{0,16}\d[a-z0-9]{0,16}(?:[ \-./][a-z0-9]{0,9}\d[a-z0-9]{0,9}){0,16}"
    r"(?:[ \-](?:(?-i:[A-Z]{1,3})|[b-hj-z])(?![^\W_]))?(?![^\W_])"
)
_DOCUMENTS: Final = (
    (
        "PASSPORT",
        Labelled(
            """
            passport/passport number/passport no/passport #/passport id/travel document number/passport book number
            reisepass/reisepassnummer/passnummer/reisepass nr/passeport/numéro de passeport/pasaporte
            número de pasaporte/passaporto/numero di passaporto/passaporte/número do passaporte/paspoort
            paspoortnummer/paszport/numer paszportu/pasaport/pasaport numarası/паспорт/номер паспорта/серия паспорта
            загранпаспорт/护照/护照号/護照/パスポート/旅券番号/여권/여권번호/جواز السفر/رقم الجواز
            """,
            _CODE,
        ),
    ),
    (
        "DRIVING_LICENCE",
        Labelled(
            """
            driving licence/driving license/driver's license/driver's licence/drivers license/drivers licence
            driver license/driver licence/driver's license number/driving licence number/license number/licence number
            license no/licence no/license #/licence #
            driver licence number/dl number/dl no/dl #/dl/permit number/führerschein/führerscheinnummer
            permis de conduire/numéro de permis/carnet de conducir/permiso de conducir/licencia de conducir
            patente di guida/patente/carteira de motorista/carta de condução/cnh/rijbewijs/rijbewijsnummer/prawo jazdy
            ehliyet/sürücü belgesi/водительское удостоверение/права номер/驾照/驾驶证
            運転免許/免許証番号/운전면허/رخصة القيادة
            """,
            _CODE,
        ),
    ),
    (
        "NATIONAL_ID",
        Labelled(
            """
            national id/national id number/national identity number/identity card/identity card number/id card
            id card number/identity number/national insurance/national insurance number
            national insurance no/nino/ni number/ni no/nhs number/nhs no
            nhs/aadhaar/aadhar/aadhaar number/voter id/medicare number/medicare/sin number/social insurance number
            personal id number/personnummer/personal identity code/henkilötunnus/hetu/nric/fin number/nric number
            personalausweis/personalausweisnummer/ausweisnummer/ausweis/sozialversicherungsnummer/rentenversicherungsnummer
            krankenversichertennummer/versichertennummer/carte d'identité/numéro de sécurité sociale/sécurité sociale
            numéro insee/dni/dni número/nie/documento de identidad/cédula/cédula de identidad/carta d'identità
            numero carta d'identità/cpf/rg/bilhete de identidade/cartão de cidadão/bsn/burgerservicenummer/pesel
            numer pesel/dowód osobisty/tc kimlik/tc kimlik no/kimlik no/kimlik numarası/снилс/身份证/身份证号/身份證
            マイナンバー/个人番号/個人番号/주민등록번호/الرقم القومي/رقم الهوية/curp/rut/rrn/mbi/umid/emirates id
            """,
            _CODE,
        ),
    ),
    (
        "TAX_ID",
        Labelled(
            """
            tax id/tax id number/tax identification number/tax number/tax file number/tfn/abn/acn/itin/ein/taxpayer id
            taxpayer identification number/tax reference/tax reference number/utr/unique taxpayer reference/pan number
            permanent account number/pan card/steuer id/steueridentifikationsnummer/steuernummer/steuer nr/steuer idnr
            numéro fiscal/nif/número fiscal/codice fiscale/partita iva/contribuinte/nip/numer nip/vergi numarası
            vergi no/инн/номер инн/税号/納税者番号/الرقم الضريبي/rfc
            """,
            _CODE,
        ),
    ),
)
_MIN_DIGITS: Final = 4
_MIN_CHARS: Final = 6
_YEARS: Final = re.compile(r"(?:19|20)\d\d(?:\W(?:19|20)\d\d)?")
_DATE: Final = re.compile(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}")
_LABEL_AFTER: Final = re.compile(
    r"(?<![\w\-])(?P<value>[A-Z0-9]{0,6}\d[A-Z0-9]{4,14})\s(?:is|as|was|ist|est|es)\s(?:my|the|his|her|mein|mon|"
    r"mi)\s(?:\w+\s)?"
    r"(?:(?P<PASSPORT>passport|reisepass|passeport|pasaporte)|(?P<DRIVING_LICENCE>(?:driver'?s?|driving) licen[cs]e)"
    r"|(?P<NATIONAL_ID>national id|identity card|id card|nhs number|aadhaar|dni|personalausweis)"
    r"|(?P<TAX_ID>tax id|tax number|itin))\b",
    re.IGNORECASE,
)


def find_documents(page: Page) -> Iterator[Found]:
    """Find the numbers of documents after their label, or before "is my passport number"."""
    for entity, kind in _DOCUMENTS:
        for match in kind.find(page):
            if _is_number(match["value"]):
                yield *match.span("value"), entity
    if page.holds_any(("passport", "licence", "license", " id", "card", "nhs", "aadhaar", "dni", "tax ", "itin")):
        for match in _LABEL_AFTER.finditer(page.text):
            yield *match.span("value"), match.lastgroup or "NATIONAL_ID"


def _is_number(value: str) -> bool:
    digits = sum(map(str.isdigit, value))
    return (
        digits >= _MIN_DIGITS
        and len(value) >= _MIN_CHARS
        and not _YEARS.fullmatch(value)
        and not _DATE.fullmatch(value)
    )
