"""``mmplatform topics``: show the topic partitions of each modality, or increase them."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from mmplatform.cli.app import app
from mmplatform.cli.renamed import refuse_old_option


@app.command()
def topics(
    partitions: Annotated[
        str, typer.Option("--partitions", help="Give a modality more topic partitions, for example `chat=16`.")
    ] = "",
    _raise: Annotated[
        str | None, typer.Option("--raise", hidden=True, callback=refuse_old_option("--partitions"))
    ] = None,
) -> None:
    """Show the topics of events, or increase the topic partitions of one; they never decrease."""
    from mmplatform.kafka.connection import admin_client
    from mmplatform.kafka.partitions import increase_partitions, parse_partition_count, topic_states
    from mmplatform.kafka.reader import ReplayLog
    from mmplatform.local.run_file import with_kafka_address
    from mmplatform.settings import load

    wanted = parse_partition_count(partitions) if partitions else None
    settings = with_kafka_address(load())
    with ReplayLog(settings) as log:
        if wanted is not None:
            modality, number = wanted
            before = increase_partitions(settings, modality, number, log, admin_client(settings))
            if before == number:
                typer.echo(f"{modality} has {number} topic partitions already")
            else:
                typer.echo(
                    f"{modality}: {before} → {number} topic partitions. Before sources go on: `mmplatform restart`, so "
                    "that every gateway and deriver knows them"
                )
        states = topic_states(settings, log)
    table = Table("modality", "topic", "topic partitions", "records", "lag", box=None, pad_edge=False)
    for state in states:
        table.add_row(state.modality, state.topic, str(state.topic_partitions), str(state.records), str(state.lag))
    Console().print(table)
