"""Bank accounts without IBAN: account, routing and sort codes, and the BIC beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mmplatform.derive.pii.labels import END_OF_DIGITS, Found, Labelled, Page

_ACCOUNT: Final = Labelled(
    """
    account number/account no/account nr/account num/account nbr/account #/acct number/acct no/acct/acct #/a c no/a c
    bank account/checking account/savings account/current account/bank acct/acc no/acc number/account number is
    giro account/clabe/kontonummer/konto nr/konto/kontonr/bankkonto/numéro de compte/n° de compte/compte bancaire/rib
    número de cuenta/cuenta bancaria/cuenta/numero di conto/conto corrente/numero conto/número da conta/conta corrente
    conta bancária/rekeningnummer/bankrekening/numer konta/nr konta/numer rachunku/rachunek/hesap numarası/hesap no
    номер счета/номер счёта/расчетный счет/банковский счет/银行账号/银行卡号/账号/帳號/口座番号
    계좌번호/رقم الحساب/حساب بنكي
    """,
    rf"\d(?:[ \-.]?\d){{4,19}}{END_OF_DIGITS}",
)
_ROUTING: Final = Labelled(
    """
    routing number/routing no/routing/routing code
    aba number/aba routing/aba/aba #/transit number/rtn/bank code/branch code
    bankleitzahl/blz/code banque/code guichet/bank number/institution number/código de banco/cab/abi/agência
    """,
    rf"\d(?:[ \-.]?\d){{4,10}}{END_OF_DIGITS}",
)
_SORT: Final = Labelled(
    "sort code/sortcode/bank sort code/s c/bsb/bsb number",
    rf"\d(?:[ \-.–]{{0,3}}\d){{5}}{END_OF_DIGITS}",
)
_IFSC: Final = Labelled("ifsc/ifsc code", r"[a-z]{4}0[a-z0-9]{6}(?![a-z0-9])")
_BIC: Final = Labelled(
    "bic/swift/bic code/swift code/swift bic/bic swift", r"[a-z]{6}[a-z0-9]{2}(?:[a-z0-9]{3})?(?![a-z0-9])"
)
_LONE_PAIR: Final = re.compile(r"(?<![\d\-/.])\d{2}-\d{2}-\d{2}[\s,/|&]{1,4}(?:and\s)?\d{8}(?![\d\-])")
_DETAILS: Final = re.compile(
    r"\b(?:bank|account|banking|payment|payee|transfer|refund)\s(?:details?|information|info|data)\b[\s:=\-,.]{1,6}(?:are|is)?\s?"
    r"(?P<value>\d{2}[ \-\u2013]?\d{2}[ \-\u2013]?\d{2}[\s,/|&]{1,4}(?:and\s)?\d{7,12})(?![\d\-])",
    re.IGNORECASE,
)
_LABEL_AFTER: Final = re.compile(
    r"(?<![\w.,:/\-#])(?P<value>\d(?:[ \-]?\d){4,17})\s(?:is|as|was)\s(?:my|the|our|his|her)\s"
    r"(?:bank\s|checking\s|savings\s)?(?:account|acct|routing|sort)\b(?:\s(?:number|no|code))?",
    re.IGNORECASE,
)
_SHORT_LABEL: Final = re.compile(
    rf"\b(?:account|acct|acc|sort)\s?[:=#]\s?(?P<value>\d(?:[ \-]?\d){{5,13}}){END_OF_DIGITS}", re.IGNORECASE
)
_BANK_WORDS: Final = ("sort", "routing", "bank", "bic", "iban", "swift")
_MONEY: Final = ("bank", "account", "sort", "pay", "transfer", "refund", "acct")
_MIN_BIC_CAPITALS: Final = 6


def find_bank_accounts(page: Page) -> Iterator[Found]:
    """Find account, routing and sort codes after their label, and a British pair of both without one."""
    for kind in (_ACCOUNT, _ROUTING, _SORT, _IFSC):
        for match in kind.find(page):
            yield *match.span("value"), "BANK_ACCOUNT"
    for match in _BIC.find(page):
        value = match["value"]
        if value[:_MIN_BIC_CAPITALS].isupper() or (value.islower() and any(map(str.isdigit, value))):
            yield *match.span("value"), "BANK_ACCOUNT"
    if page.holds_any(_BANK_WORDS):
        for match in _SHORT_LABEL.finditer(page.text):
            yield *match.span("value"), "BANK_ACCOUNT"
    if page.holds_any(_MONEY):
        for match in _LONE_PAIR.finditer(page.text):
            yield *match.span(), "BANK_ACCOUNT"
        for match in (*_DETAILS.finditer(page.text), *_LABEL_AFTER.finditer(page.text)):
            yield *match.span("value"), "BANK_ACCOUNT"
