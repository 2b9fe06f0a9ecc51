"""``mmplatform canary``: synthetic events through the gateway of a running platform, looked for by its search."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from mmplatform.cli.app import app
from mmplatform.errors import Unavailable

_MAX_COUNT = 100_000
_MAX_THREADS = 64


class CanaryModality(StrEnum):
    """Modality of the canaries."""

    CHAT = "chat"
    CALL = "call"
    SCREENSHOT = "screenshot"


@app.command()
def canary(
    count: Annotated[int, typer.Option(min=1, max=_MAX_COUNT, help="Number of canaries.")] = 1,
    modality: Annotated[CanaryModality, typer.Option(help="Modality of all of them.")] = CanaryModality.CHAT,
    threads: Annotated[int, typer.Option(min=1, max=_MAX_THREADS, help="Canaries that are under way at once.")] = 4,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds after which one is missing.")] = 180.0,
    url: Annotated[
        str, typer.Option(help="The gateway, also for searches; empty: those of the settings or of the running stack.")
    ] = "",
    clean: Annotated[
        bool, typer.Option("--clean", help="Only delete the blobs and index entries of old ones.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Send canaries, look for them, and print their gap; exit code 1 when one is missing or a receipt was false."""
    from mmplatform.events import utc_now
    from mmplatform.local.run_file import with_chroma_address, with_kafka_address
    from mmplatform.pipeline.canary.figures import CanaryFigures
    from mmplatform.pipeline.canary.retention import delete_old_canaries
    from mmplatform.pipeline.canary.service import open_runner, run_many
    from mmplatform.settings import load
    from mmplatform.terminal.answers import print_canaries
    from mmplatform.terminal.stack_client import gateway_url

    settings = with_kafka_address(with_chroma_address(load()))
    if clean:
        deleted = delete_old_canaries(settings, utc_now())
        typer.echo(f"deleted: {deleted.blobs} blobs, {deleted.collections} collections of the index")
        return
    figures = CanaryFigures()
    # Without an explicit address the search may have one of its own, as in a cluster.
    gateway = settings.canary_gateway_url or gateway_url()
    settings = settings.model_copy(update={"canary_gateway_url": gateway})
    with open_runner(settings, figures, gateway_url=url.rstrip("/"), timeout_s=timeout) as runner:
        run_many(runner, count, threads=threads, modality=modality.value)
    payload = figures.payload()
    if as_json:
        typer.echo(json.dumps(payload, indent=2))
    else:
        print_canaries(payload)
    if not payload:
        raise Unavailable("no canary was sent: the log does not say how many topic partitions there are")
    if figures.false_receipts or figures.count("found") < count:
        raise typer.Exit(1)
