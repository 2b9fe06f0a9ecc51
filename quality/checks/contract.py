"""Check ``contract``: rows of an hour against the contract of their table. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from quality.checks.result import MAX_NAMED_IDS, CheckResult, RawMetadataValue
from quality.contract_gate import find_violations
from quality.contracts import ContractLimits
from quality.rows import Row


def check_contract(
    table: str, rows: Sequence[Row], limits: ContractLimits, quarantined_uids: Collection[str] = ()
) -> CheckResult:
    """Fails when a row breaks the contract, except for events that the gate has quarantined.

    Raises:
        KeyError: the table has no contract.
    """
    if not rows:
        return CheckResult(passed=True, description="no rows in this hour", metadata={"rows": 0})
    violations = find_violations(table, rows, limits)
    quarantined = {number for number in violations if rows[number].get("event_uid") in quarantined_uids}
    broken = [number for number in violations if number not in quarantined]
    metadata: dict[str, RawMetadataValue] = {
        "rows": len(rows),
        "broken": len(broken),
        "quarantined": len(quarantined),
    }
    if not broken:
        more = f"; {len(quarantined)} more are quarantined" if quarantined else ""
        description = f"{len(rows) - len(quarantined)} rows keep the contract{more}"
        return CheckResult(passed=True, description=description, metadata=metadata)
    rules = Counter(rule for number in broken for rule in violations[number])
    metadata["rules"] = {rule: float(count) for rule, count in rules.most_common()}
    metadata["ids"] = [_row_id(rows[number]) for number in broken[:MAX_NAMED_IDS]]
    return CheckResult(
        passed=False, description=f"{len(broken)} of {len(rows)} rows break the contract", metadata=metadata
    )


def _row_id(row: Row) -> str:
    return str(row.get("artifact_id") or row.get("event_id"))
