"""``mmplatform migrate``: replay the log of an older release into this stack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmplatform.cli.app import app


@app.command()
def migrate(
    data_dir: Annotated[
        Path | None, typer.Option("--from", help="The data directory of the older release; its stack must be down.")
    ] = None,
    kafka: Annotated[str, typer.Option("--from-kafka", help="Bootstrap servers of the older log, `host:port`.")] = "",
    prefix: Annotated[str, typer.Option("--from-prefix", help="Topic prefix of the older log.")] = "",
) -> None:
    """Replay an older log into the running stack: events and bytes are taken over, all else is derived again."""
    from contextlib import ExitStack, closing

    from mmplatform.cli.rebuild import progress_display
    from mmplatform.errors import Misconfigured
    from mmplatform.kafka.headers import open_pseudonyms
    from mmplatform.kafka.producer import LogProducer
    from mmplatform.kafka.reader import ReplayLog
    from mmplatform.land.blobs.open import open_blobs
    from mmplatform.local.old_broker import running_old_broker
    from mmplatform.local.run_file import with_kafka_address
    from mmplatform.pipeline.migrate import Migration, OldBlobs
    from mmplatform.settings import load

    if data_dir is None and not kafka:
        raise Misconfigured("name the older release's data directory (--from), or its Kafka (--from-kafka)")
    settings = with_kafka_address(load())
    old_blobs = OldBlobs(data_dir / "blobs") if data_dir is not None and not settings.blob_store_url else None
    with ExitStack() as parts:
        address = kafka or parts.enter_context(running_old_broker(data_dir or Path()))
        old = settings.model_copy(update={"kafka_bootstrap_servers": address, "topic_prefix": prefix})
        producer = parts.enter_context(closing(LogProducer(settings)))
        work = Migration(settings, ReplayLog(old), old_blobs, open_blobs(settings), producer, open_pseudonyms(settings))
        show = parts.enter_context(progress_display())
        work.run(prefix, show)
    done = work.result
    typer.echo(f"{done.written} events replayed, {done.blobs} blobs copied; the stack derives them now")
    if done.no_events:
        typer.echo(f"{done.no_events} records are no events: they are dead letters of the old log, and stay there")
    for reason, count in sorted(done.refused.items()):
        typer.echo(f"{count} not taken over: {reason}", err=True)
    if done.refused:
        raise typer.Exit(1)
