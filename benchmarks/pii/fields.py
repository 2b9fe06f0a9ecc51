"""Records of named fields as programs paste them: forms, tables, JSON, CSV, log lines."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from benchmarks.pii.facts import Facts
from benchmarks.pii.samples import Piece, Sample, join
from benchmarks.pii.values import Values

FIELDS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "en": (
        *(("Cardholder name", "person"), ("Customer", "person"), ("Full name", "person"), ("Contact", "person")),
        *(("Card number", "card"), ("Card no.", "card"), ("PAN", "card"), ("CVV", "cvv"), ("Security code", "cvv")),
        *(("Expiry date", "card_expiry"), ("Valid thru", "card_expiry"), ("PIN", "pin"), ("Password", "password")),
        *(("API key", "secret"), ("Access token", "secret"), ("Verification code", "one_time_code")),
        *(("IBAN", "iban"), ("Account number", "bank_account"), ("Routing number", "routing"), ("SSN", "ssn")),
        *(("Sort code", "sort_code"), ("National Insurance no.", "national_id"), ("Tax ID", "tax_id")),
        *(("Passport no.", "passport"), ("Driving licence", "driving_licence"), ("Date of birth", "birth_date")),
        *(("E-mail", "email"), ("Phone", "phone"), ("Mobile", "phone"), ("Client IP", "ip"), ("Skype", "handle")),
        *(("Street address", "address"), ("Ship to", "address"), ("Wallet address", "crypto_wallet")),
    ),
    "de": (
        *(("Name", "person"), ("Kartennummer", "card"), ("Prüfziffer", "cvv"), ("Telefon", "phone"), ("IBAN", "iban")),
        *(("Geburtsdatum", "birth_date"), ("Straße", "address"), ("E-Mail", "email"), ("Kontoinhaber", "person")),
    ),
    "fr": (
        *(("Nom", "person"), ("Numéro de carte", "card"), ("Téléphone", "phone"), ("IBAN", "iban")),
        *(("Date de naissance", "birth_date"), ("Adresse", "address"), ("Courriel", "email")),
    ),
    "es": (
        *(("Nombre", "person"), ("Número de tarjeta", "card"), ("Teléfono", "phone"), ("IBAN", "iban")),
        *(("Fecha de nacimiento", "birth_date"), ("Dirección", "address"), ("Correo", "email"), ("DNI", "national_id")),
    ),
    "ru": (("Имя", "person"), ("Номер карты", "card"), ("Телефон", "phone"), ("Почта", "email")),
    "zh": (("姓名", "person"), ("卡号", "card"), ("电话", "phone"), ("邮箱", "email")),
    "ar": (("الاسم", "person"), ("رقم البطاقة", "card"), ("الهاتف", "phone")),
}
FACTS: Final = (
    *(("Order", "order"), ("Invoice", "order"), ("Amount", "amount"), ("Status", "error"), ("Item", "product")),
    *(("Version", "version"), ("Request id", "uuid"), ("Tracking number", "tracking"), ("IMEI", "imei")),
    *(("Created", "day"), ("Transaction id", "long_order"), ("Serial number", "serial"), ("ICCID", "iccid")),
)


@dataclass(frozen=True, slots=True)
class Field:
    """A label and the pieces of its value."""

    label: str
    pieces: tuple[Piece, ...]


def record(
    random: Random,
    language: str,
    *,
    personal: int,
    frequent: Sequence[str] = (),
    odd: bool = False,
    misread: bool = False,
) -> list[Field]:
    """Random fields: ``personal`` with personal data, one of each slot of ``frequent``, and some harmless facts."""
    values, facts = Values(random, language, odd=odd, misread=misread), Facts(random)
    chosen = [random.choice([field for field in FIELDS[language] if field[1] == slot]) for slot in frequent]
    others = [field for field in FIELDS[language] if field not in chosen]
    chosen += random.sample(others, min(personal - len(chosen), len(others)))
    fields = [Field(label, tuple(values.make(slot))) for label, slot in chosen]
    fields += [Field(label, tuple(facts.make(slot))) for label, slot in random.sample(FACTS, random.randint(1, 3))]
    random.shuffle(fields)
    return fields


def form(random: Random, fields: Sequence[Field]) -> list[Piece]:
    """Labels at the left, values far to the right."""
    width, filler = random.choice((28, 40, 60)), random.choice((" ", " ", ".", "\t"))
    pieces: list[Piece] = []
    for field in fields:
        gap = "\t\t\t" if filler == "\t" else filler * max(2, width - len(field.label))
        pieces += [Piece(f"{field.label}{random.choice((':', ''))}{gap}"), *field.pieces, Piece("\n")]
    return pieces


def lines(random: Random, fields: Sequence[Field]) -> list[Piece]:
    """``Label: value``, or the value on the line under its label."""
    gap = random.choice((": ", ": ", ":", " = ", ":\n", "\n"))
    return [piece for field in fields for piece in (Piece(field.label + gap), *field.pieces, Piece("\n"))]


def pipe_table(random: Random, fields: Sequence[Field]) -> list[Piece]:
    """Table in markdown, one field a row."""
    del random
    rows = (piece for field in fields for piece in (Piece(f"| {field.label} | "), *field.pieces, Piece(" |\n")))
    return [Piece("| field | value |\n|---|---|\n"), *rows]


def html_table(random: Random, fields: Sequence[Field]) -> list[Piece]:
    """Table in HTML, one field a row."""
    cell = random.choice(("td", "th", "dt"))
    pieces: list[Piece] = [Piece("<table>")]
    for field in fields:
        value = _escaped(field.pieces, html.escape)
        pieces += [Piece(f"<tr><{cell}>{html.escape(field.label)}</{cell}><td>"), *value, Piece("</td></tr>\n")]
    return [*pieces, Piece("</table>")]


def json_record(random: Random, fields: Sequence[Field]) -> list[Piece]:
    """Object in JSON; its keys are in snake case or camel case."""
    camel = random.random() < 0.5
    pieces: list[Piece] = [Piece("{")]
    for index, field in enumerate(fields):
        words = "".join(letter if letter.isalnum() else " " for letter in field.label.lower()).split()
        key = words[0] + "".join(map(str.title, words[1:])) if camel else "_".join(words)
        value = _escaped(field.pieces, lambda text: json.dumps(text, ensure_ascii=False)[1:-1])
        pieces += [Piece(f'{", " if index else ""}"{key}": "'), *value, Piece('"')]
    return [*pieces, Piece("}")]


def csv_rows(random: Random, fields: Sequence[Field]) -> list[Piece]:
    """A header and a row, as a spreadsheet pastes them."""
    delimiter = random.choice((",", ";", "\t"))
    header = io.StringIO()
    csv.writer(header, delimiter=delimiter, lineterminator="\n").writerow(field.label for field in fields)
    pieces: list[Piece] = [Piece(header.getvalue())]
    for index, field in enumerate(fields):
        quote = '"' if any(delimiter in piece.text or "\n" in piece.text for piece in field.pieces) else ""
        pieces += [Piece((delimiter if index else "") + quote), *_escaped(field.pieces, _doubled), Piece(quote)]
    return pieces


def log_line(random: Random, fields: Sequence[Field]) -> list[Piece]:
    """Line of a log with key=value pairs."""
    pieces: list[Piece] = [Piece(f"2026-03-{random.randint(1, 28):02}T10:11:12.345Z WARN [checkout-7] payment failed")]
    for field in fields:
        key = "_".join("".join(letter if letter.isalnum() else " " for letter in field.label.lower()).split())
        quote = '"' if any(" " in piece.text for piece in field.pieces) else ""
        pieces += [Piece(f" {key}={quote}"), *field.pieces, Piece(quote)]
    return pieces


LAYOUTS: Final[dict[str, Callable[[Random, Sequence[Field]], list[Piece]]]] = {
    "form": form,
    "lines": lines,
    "pipe table": pipe_table,
    "HTML table": html_table,
    "JSON": json_record,
    "CSV": csv_rows,
    "log line": log_line,
}


def field_sample(random: Random, layout: str, language: str, *, personal: int) -> Sample:
    """Random record in a layout."""
    pieces = LAYOUTS[layout](random, record(random, language, personal=personal))
    return join(pieces, style=layout, language=language, unseen=False)


def _doubled(text: str) -> str:
    return text.replace('"', '""')


def _escaped(pieces: Sequence[Piece], escape: Callable[[str], str]) -> list[Piece]:
    return [replace(piece, text=escape(piece.text)) for piece in pieces]
