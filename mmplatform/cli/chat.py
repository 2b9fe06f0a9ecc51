"""``mmplatform chat``: edit and delete a message through the gateway; list the erasures that are due."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from mmplatform.cli.app import app

if TYPE_CHECKING:
    from mmplatform.ingest.schemas import Accepted

chat_app = typer.Typer(no_args_is_help=True, help="Edit and delete chat messages.")
app.add_typer(chat_app, name="chat")

MessageId = Annotated[str, typer.Argument(help="The message's event id.")]
Conversation = Annotated[str, typer.Option(help="The message's conversation.")]
Subject = Annotated[str, typer.Option(help="The person the message is about.")]
Source = Annotated[str, typer.Option(help="The system whose ids these are.")]
Revision = Annotated[int | None, typer.Option(min=0, help="Grows with each change; else the last one counts.")]
Url = Annotated[str, typer.Option(help="The gateway; empty: the running stack's.")]


@chat_app.command("edit")
def edit(
    message_id: MessageId,
    conversation: Conversation,
    subject: Subject,
    source: Source = "",
    revision: Revision = None,
    url: Url = "",
) -> None:
    """Replace the text of a message by the text on standard input, as a whole."""
    from mmplatform.client.client import GatewayClient
    from mmplatform.terminal.stack_client import gateway_url

    text = sys.stdin.read().rstrip("\n")
    with GatewayClient(gateway_url(url)) as client:
        answer = client.edit_chat(
            message_id, conversation_id=conversation, subject_id=subject, text=text, revision=revision, source=source
        )
    _print(answer)


@chat_app.command("delete")
def delete(
    message_id: MessageId,
    conversation: Conversation,
    subject: Subject,
    source: Source = "",
    revision: Revision = None,
    redact: Annotated[bool, typer.Option("--redact", help="The raw text is to be destroyed too.")] = False,
    url: Url = "",
) -> None:
    """Delete a message: it is no longer found. Its raw history stays, but for `--redact`."""
    from mmplatform.client.client import GatewayClient
    from mmplatform.terminal.stack_client import gateway_url

    with GatewayClient(gateway_url(url)) as client:
        answer = client.delete_chat(
            message_id,
            conversation_id=conversation,
            subject_id=subject,
            redact=redact,
            revision=revision,
            source=source,
        )
    _print(answer)


@chat_app.command("erasures")
def erasures(as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False) -> None:
    """List the redacted messages whose raw text must still be destroyed."""
    import json
    from dataclasses import asdict

    from rich.console import Console

    from mmplatform.land.lakehouse.due_erasures import read_due_erasures
    from mmplatform.land.lakehouse.store import Lakehouse
    from mmplatform.settings import load
    from mmplatform.terminal.printable import printable

    found = read_due_erasures(Lakehouse.open(load()))
    if as_json:
        typer.echo(json.dumps([asdict(erasure) for erasure in found], default=str, indent=2))
        return
    console = Console()
    for erasure in found:
        ids = printable(f"{erasure.source}/{erasure.conversation_id}/{erasure.message_id}")
        console.print(f"{erasure.since:%Y-%m-%d %H:%M:%S}  {ids}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"{len(found)} messages were redacted, and their raw text is still stored", highlight=False)


def _print(answer: Accepted) -> None:
    from rich.console import Console

    state = "was on the log already" if answer.duplicate else "is on the log"
    position = f"{answer.position.topic}[{answer.position.topic_partition}] at offset {answer.position.offset}"
    Console().print(f"{answer.event_id} {state}: {position}", highlight=False, markup=False, soft_wrap=True)
