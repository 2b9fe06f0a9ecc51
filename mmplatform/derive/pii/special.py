"""Recognizers of what a label, a prefix or a checksum gives away: codes, secrets, dates, addresses, documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from mmplatform.derive.pii.addresses import find_addresses
from mmplatform.derive.pii.bank_accounts import find_bank_accounts
from mmplatform.derive.pii.birth_dates import find_birth_dates
from mmplatform.derive.pii.card_details import find_card_details
from mmplatform.derive.pii.credentials import find_passwords
from mmplatform.derive.pii.documents import find_documents
from mmplatform.derive.pii.labels import Found, Page
from mmplatform.derive.pii.logins import find_logins
from mmplatform.derive.pii.nearby import find_nearby_codes
from mmplatform.derive.pii.one_time_codes import find_one_time_codes
from mmplatform.derive.pii.predefined import PREDEFINED_ENTITIES, find_predefined
from mmplatform.derive.pii.recognizers import make_recognizers
from mmplatform.derive.pii.secrets import find_secrets

FindOnPage = Callable[[Page], Iterable[Found]]

_FINDERS: Final[tuple[tuple[FindOnPage, tuple[str, ...]], ...]] = (
    (find_card_details, ("CVV", "CARD_EXPIRY", "PIN")),
    (find_nearby_codes, ("CVV", "PIN")),
    (find_secrets, ("SECRET",)),
    (find_passwords, ("PASSWORD",)),
    (find_logins, ("PASSWORD",)),
    (find_one_time_codes, ("ONE_TIME_CODE",)),
    (find_birth_dates, ("BIRTH_DATE",)),
    (find_bank_accounts, ("BANK_ACCOUNT",)),
    (find_documents, ("PASSPORT", "DRIVING_LICENCE", "NATIONAL_ID", "TAX_ID")),
    (find_predefined, PREDEFINED_ENTITIES),
    (find_addresses, ("ADDRESS",)),
)


def special_recognizers() -> list[Any]:
    """Build the recognizers for Presidio's registry; one for each subject, as each costs microseconds."""
    return make_recognizers((partial(_find_on_page, find), entities) for find, entities in _FINDERS)


def _find_on_page(find: FindOnPage, plain: str) -> Iterable[Found]:
    return find(Page.read(plain))
