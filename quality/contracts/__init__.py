"""The Pandera contract of each table that the stream writes: the rules that its rows keep, and why.

A contract's rules have plain names; a quarantined row carries those names as its reasons and never a value. The gateway
takes its limits from here, so that an accepted event is not quarantined a moment later.
"""

from quality.contracts.limits import MAX_CALL_S, MIN_EVENT_TIME, VISIBLE_CHARACTER, ContractLimits
from quality.contracts.schemas import Contract, contract
from quality.contracts.tables import CONTRACTS

__all__ = [
    "CONTRACTS",
    "MAX_CALL_S",
    "MIN_EVENT_TIME",
    "VISIBLE_CHARACTER",
    "Contract",
    "ContractLimits",
    "contract",
]
