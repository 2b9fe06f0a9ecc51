"""``mmplatform replay``: set the offsets from which a consumer group of one's own reads a topic."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from mmplatform.cli.app import app


@app.command()
def replay(
    topic: Annotated[
        str, typer.Option(help="`chats`, `calls`, `screenshots`, `artifacts`, or the name of any topic of the broker.")
    ],
    since: Annotated[
        str, typer.Option("--from", help="A time of append (`2026-11-30T12:00Z`), an offset, `earliest` or `latest`.")
    ],
    until: Annotated[
        str, typer.Option("--to", help="The end of the replay, given as --from; it bounds the counts.")
    ] = "latest",
    group: Annotated[str, typer.Option(help="The consumer group; without it a fresh one gets a name.")] = "",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Set a group back that has offsets of this topic.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the offsets and set none.")] = False,
) -> None:
    """Let a consumer group read a topic from a time or an offset on, for a new derivation or a store of your own.

    The platform's own stores have verbs: `index rebuild`, `lakehouse rebuild`, `reprocess`.
    """
    from uuid import uuid4

    from mmplatform.kafka.reader import ReplayLog
    from mmplatform.kafka.replay import check_group, commit_replay, parse_replay_bound, plan_replay, resolve_topic
    from mmplatform.local.run_file import with_kafka_address
    from mmplatform.settings import load

    bounds = parse_replay_bound(since), parse_replay_bound(until)
    settings = with_kafka_address(load())
    name = group or f"replay-{uuid4().hex[:12]}"
    check_group(settings, name)
    with ReplayLog(settings) as log:
        plan = plan_replay(log, resolve_topic(settings, topic), *bounds)
    if not dry_run:
        commit_replay(settings, name, plan, overwrite=overwrite)
    table = Table("topic", "topic partition", "from", "to", "records", box=None, pad_edge=False)
    for part in plan:
        table.add_row(part.topic, str(part.topic_partition), str(part.offset), str(part.end), str(part.records))
    Console().print(table)
    if expired := sum(part.expired for part in plan):
        typer.echo(f"{expired} earlier offsets have expired from the log: the replay begins at the first that is left")
    records = sum(part.records for part in plan)
    if dry_run:
        typer.echo(f"group {name} would read {records} records; nothing was set")
    else:
        typer.echo(f"group {name} reads {records} records from these offsets on, once its first consumer starts")
