"""Groups in the store: a stable generation survives a restart of the broker without a rebalance."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode

from mmplatform.local.broker.groups.group import ConsumerGroup, GroupState, Member
from mmplatform.local.broker.store import Statement, Store

_PUT_GROUP = "insert or replace into groups values (?, ?, ?, ?, ?)"
_PUT_MEMBER = "insert or replace into members values (?, ?, ?, ?, ?, ?, ?, ?, ?)"


def save(store: Store, group: ConsumerGroup) -> None:
    """Write the current group; not awaited, because a lost generation only costs a rebalance."""
    statements: list[Statement] = [
        (_PUT_GROUP, (group.id, group.generation, group.protocol_type, group.protocol, group.leader)),
        ("delete from members where group_id = ?", (group.id,)),
    ]
    statements.extend((_PUT_MEMBER, _row(group, member)) for member in group.members.values())
    store.write(statements)


def forget(group_id: str) -> list[Statement]:
    """The statements that remove a group with its members and offsets."""
    return [(f"delete from {table} where group_id = ?", (group_id,)) for table in ("groups", "members", "offsets")]  # noqa: S608 - the names are literals


def load(store: Store) -> dict[str, ConsumerGroup]:
    """Read all groups; those with members are stable in their last generation."""
    groups: dict[str, ConsumerGroup] = {}
    for group_id, generation, protocol_type, protocol, leader in store.read(
        "select group_id, generation, protocol_type, protocol, leader from groups"
    ):
        groups[str(group_id)] = ConsumerGroup(
            str(group_id),
            str(protocol_type),
            GroupState.EMPTY,
            int(str(generation)),
            _text(protocol),
            _text(leader),
        )
    for row in store.read("select * from members order by rowid"):
        group = groups.get(str(row[0]))
        if group is not None:
            member = _member(row)
            group.members[member.id] = member
            group.state = GroupState.STABLE
    return groups


def _row(group: ConsumerGroup, member: Member) -> tuple[str | float | bytes | None, ...]:
    protocols = json.dumps([[name, b64encode(data).decode()] for name, data in member.protocols.items()])
    return (
        group.id,
        member.id,
        member.instance_id,
        member.client_id,
        member.client_host,
        member.session_timeout,
        member.rebalance_timeout,
        protocols,
        member.assignment,
    )


def _member(row: tuple[str | int | float | bytes | None, ...]) -> Member:
    _, member_id, instance_id, client_id, host, session, rebalance, protocols, assignment = row
    return Member(
        str(member_id),
        _text(instance_id),
        str(client_id),
        str(host),
        float(str(session)),
        float(str(rebalance)),
        {name: b64decode(data) for name, data in json.loads(str(protocols))},
        assignment if isinstance(assignment, bytes) else b"",
    )


def _text(value: str | float | bytes | None) -> str | None:
    return None if value is None else str(value)
