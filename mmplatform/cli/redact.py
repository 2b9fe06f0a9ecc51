"""``mmplatform redact``: redact a text as a deriver would, and explain what was found."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from mmplatform.cli.app import app
from mmplatform.errors import Rejected
from mmplatform.events import Modality
from mmplatform.modalities import MODALITIES

if TYPE_CHECKING:
    from mmplatform.pipeline.redaction_preview import RedactionPreview


def _modality(name: str) -> str:
    if name not in MODALITIES:
        raise typer.BadParameter(f"choose from {', '.join(MODALITIES)}")
    return name


@app.command()
def redact(
    file: Annotated[str, typer.Argument(help="A text file in UTF-8; `-`: standard input.")] = "-",
    modality: Annotated[
        str,
        typer.Option(
            callback=_modality,
            help="Which deriver's rules: chat, call (a line is an utterance) or screenshot (OCR lines).",
        ),
    ] = "chat",
    explain: Annotated[bool, typer.Option(help="Also show what was found where, by which recognizer.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; with what was found.")] = False,
) -> None:
    """Redact a text by the settings' model and policy; nothing is stored."""
    from mmplatform.pipeline.redaction_preview import preview_redaction
    from mmplatform.settings import load

    preview = preview_redaction(load(), cast("Modality", modality), _read(file))
    if as_json:
        typer.echo(json.dumps(preview.to_json(), indent=2))
        return
    typer.echo(_for_terminal(preview.text))
    if explain:
        _print_findings(preview)


def _print_findings(preview: RedactionPreview) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    console.print(f"\npolicy {preview.policy}, {preview.redactor}", markup=False, highlight=False)
    confidence = f" ({preview.language_confidence:.2f})" if preview.language else ""
    covered = preview.redaction_coverage.replace("_", " ")
    console.print(
        f"language {preview.language or 'unknown'}{confidence}, coverage of the redaction: {covered}",
        markup=False,
        highlight=False,
    )
    if not preview.findings:
        console.print("no recognizer found anything", style="yellow")
        return
    titles = ("part", "characters", "entity", "recognizer", "score", "reading", "policy", "replaced by")
    table = Table(*titles, box=None, pad_edge=False, header_style="bold")
    for finding in preview.findings:
        location = (finding.part, f"{finding.start}-{finding.end}", finding.entity, finding.recognizer)
        outcome = (f"{finding.score:.2f}", finding.reading, finding.action, finding.replacement or "nothing")
        table.add_row(*map(Text, (*location, *outcome)))
    console.print(table)


def _read(file: str) -> str:
    """Read the text. Raises Rejected, without a word of it."""
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise Rejected(f"{file} cannot be read: {error.strerror}") from error
    try:
        return content.decode("utf-8-sig").removesuffix("\n")
    except UnicodeDecodeError as error:
        raise Rejected(f"{'standard input' if file == '-' else file} is no UTF-8 text at byte {error.start}") from None


def _for_terminal(text: str) -> str:
    """Make controls visible on a terminal; into a pipe the text goes as it is."""
    from mmplatform.terminal.printable import printable

    return "\n".join(map(printable, text.split("\n"))) if sys.stdout.isatty() else text
