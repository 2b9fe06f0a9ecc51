"""``mmplatform search`` and ``mmplatform freshness``: query the running platform."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

import typer

from mmplatform.cli.app import app


@app.command()
def search(
    question: Annotated[str, typer.Argument(help="What to look for.")],
    subject: Annotated[str | None, typer.Option(help="Only passages about this person.")] = None,
    modality: Annotated[list[str] | None, typer.Option(help="chat, call or screenshot; may be repeated.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Event time from here on, UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Event time before this, UTC.")] = None,
    k: Annotated[int, typer.Option("-k", help="Maximum number of hits.")] = 5,
    after: Annotated[list[str] | None, typer.Option(help="Token of an acknowledged event to wait for.")] = None,
    min_fresh: Annotated[datetime | None, typer.Option(help="Wait for what was appended up to then, UTC.")] = None,
    max_wait_ms: Annotated[int, typer.Option(help="Longest wait for both, in milliseconds.")] = 2_000,
    url: Annotated[str, typer.Option(help="The gateway; empty: the running stack's.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    """Find passages, each with its source, its event time and its age."""
    from mmplatform.terminal.answers import print_hits
    from mmplatform.terminal.stack_client import gateway_url, request

    body: dict[str, Any] = {"query": question, "k": k, "modalities": modality or []}
    body |= {"subject_id": subject} if subject else {}
    body |= {
        name: f"{moment.isoformat()}Z"
        for name, moment in (("since", since), ("until", until), ("min_fresh", min_fresh))
        if moment
    }
    body |= {"after": after or [], "max_wait_ms": max_wait_ms}
    answer = request("POST", f"{gateway_url(url)}/v1/search", json=body)
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    else:
        print_hits(answer)


@app.command()
def freshness(
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Show the freshness gap of each modality, in total and by stage, over the last 15 minutes."""
    from mmplatform.terminal.answers import print_canaries, print_freshness
    from mmplatform.terminal.stack_client import canary_figures, request, shed_by_modality, status_url

    page = request("GET", status_url("index"))
    found: dict[str, dict[str, Any]] = page["freshness"]
    for modality, count in shed_by_modality().items():
        if count or modality in found:
            found.setdefault(modality, {})["shed"] = count
    canaries = canary_figures()
    if as_json:
        # Beside the modalities, whose names are the other keys: it is none of their figures.
        typer.echo(json.dumps(found | ({"canaries": canaries} if canaries else {}), indent=2))
    else:
        print_freshness(found, measured_since=page.get("measured_since"))
        print_canaries(canaries)
