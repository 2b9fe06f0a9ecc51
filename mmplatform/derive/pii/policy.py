"""Redaction policy: for each entity and modality, what takes the place of a value. Immutable, without files.

An entity without a rule is replaced by its kind. No policy can give some entities another rule than
that: PCI DSS forbids to store a verification code or a PIN at all, and a secret opens something.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from mmplatform.derive.pii.entities import ENTITIES
from mmplatform.events import Modality

Action = Literal["kind", "last_four", "tag", "keep"]
"""``kind``: ``[CARD]``; ``last_four``: ``[CARD …1111]``; ``tag``: ``[PERSON 7f3a]``; ``keep``: not redacted."""

_DIGEST_HEX: Final = 8

_KIND_ONLY: Final[tuple[Action, ...]] = ("kind",)
_NUMBER: Final[tuple[Action, ...]] = ("kind", "last_four", "tag")
_IDENTITY: Final[tuple[Action, ...]] = ("kind", "tag")
_CONTACT: Final[tuple[Action, ...]] = ("kind", "tag", "keep")

ALLOWED_ACTIONS: Final[Mapping[str, tuple[Action, ...]]] = {
    # Four digits of a card may be shown (PCI DSS 3.4.1). A tag could be joined with them, which 3.5.1 forbids.
    "CARD": ("kind", "last_four"),
    **dict.fromkeys(("CVV", "CARD_EXPIRY", "PIN", "SECRET", "PASSWORD", "ONE_TIME_CODE"), _KIND_ONLY),
    **dict.fromkeys(("CRYPTO_WALLET", "IBAN", "BANK_ACCOUNT"), _NUMBER),
    **dict.fromkeys(("SSN", "NATIONAL_ID", "TAX_ID", "PASSPORT", "DRIVING_LICENCE", "BIRTH_DATE"), _IDENTITY),
    "PHONE": ("kind", "last_four", "tag", "keep"),
    **dict.fromkeys(("EMAIL", "IP", "HANDLE", "ADDRESS", "PERSON"), _CONTACT),
}


@dataclass(frozen=True, slots=True)
class ModalityPolicy:
    """Rules of one modality.

    Attributes:
        actions: by entity, what is not replaced by its kind.
        version: of the policy; it stands in the provenance of each artifact.
    """

    actions: Mapping[str, Action]
    version: str

    @property
    def retained_entities(self) -> frozenset[str]:
        """Entities that are not redacted."""
        return frozenset(entity for entity, action in self.actions.items() if action == "keep")

    @property
    def has_tags(self) -> bool:
        """True when the redacted text depends on the conversation."""
        return "tag" in self.actions.values()


@dataclass(frozen=True, slots=True)
class RedactionPolicy:
    """A checked policy; ``version`` is the file's own word, a dash, and a digest of the rules."""

    version: str
    rules: Mapping[Modality, Mapping[str, Action]]

    def for_modality(self, modality: Modality) -> ModalityPolicy:
        """Select the rules of one modality."""
        return ModalityPolicy(self.rules.get(modality, {}), self.version)


def allowed_actions(entity: str) -> tuple[Action, ...]:
    """List the actions that a policy may give to an entity."""
    return ALLOWED_ACTIONS.get(entity, _KIND_ONLY)


def build_policy(label: str, rules: Mapping[Modality, Mapping[str, Action]]) -> RedactionPolicy:
    """Build a policy of checked rules. The order of the rules, and a rule of ``kind``, do not change its version."""
    effective: dict[Modality, dict[str, Action]] = {
        modality: {name: of_modality[name] for name in ENTITIES if of_modality.get(name, "kind") != "kind"}
        for modality, of_modality in sorted(rules.items())
    }
    content = json.dumps({modality: found for modality, found in effective.items() if found}, sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()[:_DIGEST_HEX]
    return RedactionPolicy(f"{label}-{digest}", effective)
