"""Tables in markdown, the list of failures, and the tables of the page on personal data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.pii.score import Counts, Failure, Score
from mmplatform.derive.pii.entities import ENTITIES

_MAX_LINE_CHARS: Final = 160
_DOCUMENTED: Final = ("typed", "spoken", "shown")
_COLUMN: Final = ": values, recall, precision"
_TABLE: Final = re.compile(r"(<!-- (?P<name>[a-z-]+): begin -->\n).*?(<!-- (?P=name): end -->)", re.DOTALL)


def entity_table(score: Score, baselines: Mapping[str, Score]) -> str:
    """Table of one modality by entity, beside the recall of the baselines."""
    head = ["entity", "values", "recall", "precision", "F2", "own name", "unseen recall", "unseen precision"]
    rows = [[*head, *(f"recall, {name}" for name in baselines)]]
    named = [entity for entity in ENTITIES if entity in score.by_entity]
    others = sorted(set(score.by_entity) - set(named))
    for entity in [*named, *others]:
        unseen = score.unseen.get(entity, Counts())
        floors = (_recall(baseline.by_entity.get(entity, Counts())) for baseline in baselines.values())
        rows.append([*_cells(entity, score.by_entity[entity]), _recall(unseen), _precision(unseen), *floors])
    unseen = _sum(score.unseen.values())
    floors = (_recall(baseline.total()) for baseline in baselines.values())
    rows.append([*_cells("all", score.total()), _recall(unseen), _precision(unseen), *floors])
    return _table(rows)


def group_table(what: str, groups: Mapping[str, Counts]) -> str:
    """Table of one modality by style or language, the lowest recall first."""
    ordered = sorted(groups.items(), key=lambda item: (item[1].recall, item[0]))
    return _table([[what, "values", "recall", "precision", "F2", "own name"], *(_cells(*row) for row in ordered)])


def speed(name: str, score: Score) -> str:
    """Line on the speed of one redactor."""
    return (
        f"{name}: {score.texts / max(score.real_s, 1e-9):.0f} texts/s, "
        f"{1000 * score.cpu_s / max(score.texts, 1):.2f} ms of processor a text"
    )


def failure_list(failures: Sequence[Failure]) -> str:
    """List of every failure, by kind and entity, with the frequent ones first."""
    grouped: dict[tuple[str, str, str], list[Failure]] = {}
    for failure in failures:
        grouped.setdefault((failure.kind, failure.entity, failure.modality), []).append(failure)
    parts = []
    for (kind, entity, modality), rows in sorted(grouped.items(), key=lambda item: -len(item[1])):
        title = "survives" if kind == "miss" else "taken without need"
        parts.append(f"\n## {entity}, {modality}: {len(rows)} {title}\n")
        parts += [_failure_line(row) for row in sorted(rows, key=lambda row: (row.unseen, row.style, row.language))]
    return "\n".join(parts) + "\n"


def docs_tables(scores: Mapping[str, Score], page: str = "") -> dict[str, str]:
    """Tables of docs/reference/personal-data.md, by the name of their markers.

    In the table by entity a modality that was not measured keeps its column of ``page``.
    """
    tables = {}
    earlier = _columns_by_modality(page)
    if scores.keys() | earlier.keys() >= set(_DOCUMENTED):
        rows = [["entity", *(f"{modality}{_COLUMN}" for modality in _DOCUMENTED)]]
        for entity in ENTITIES:
            cells = (
                _summary(scores[modality].by_entity.get(entity))
                if modality in scores
                else earlier[modality].get(f"`{entity}`", "")
                for modality in _DOCUMENTED
            )
            rows.append([f"`{entity}`", *cells])
        tables["by-entity"] = _table(rows)
    if typed := scores.get("typed"):
        tables["by-style"] = group_table("style", typed.by_style)
        tables["names-by-language"] = group_table("language", typed.people_by_language)
    return tables


def _columns_by_modality(page: str) -> dict[str, dict[str, str]]:
    """Read the cells of the table by entity, by modality and entity."""
    found = next((match[0] for match in _TABLE.finditer(page) if match["name"] == "by-entity"), "")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in found.splitlines() if "|" in line]
    if not rows:
        return {}
    head, _, *body = rows
    return {
        title.removesuffix(_COLUMN): {row[0]: row[number] for row in body}
        for number, title in enumerate(head)
        if title.endswith(_COLUMN)
    }


def write_docs(page: Path, tables: Mapping[str, str]) -> None:
    """Replace the tables between the markers of a page; a marker without a table keeps what it has."""

    def replace(match: re.Match[str]) -> str:
        name = match["name"]
        return f"{match[1]}\n{tables[name]}\n\n{match[3]}" if name in tables else match[0]

    page.write_text(_TABLE.sub(replace, page.read_text(encoding="utf-8")), encoding="utf-8")


def _summary(counts: Counts | None) -> str:
    if counts is None or not counts.values:
        return ""
    return f"{counts.values}, {_share(counts.recall)}, {_precision(counts) or '-'}"


def _cells(name: str, counts: Counts) -> list[str]:
    named = _share(counts.named / counts.removed) if counts.removed else ""
    return [name, str(counts.values), _recall(counts), _precision(counts), _f2(counts), named]


def _recall(counts: Counts) -> str:
    return _share(counts.recall) if counts.values else ""


def _precision(counts: Counts) -> str:
    return _share(counts.precision) if counts.right + counts.false else ""


def _f2(counts: Counts) -> str:
    return _share(counts.f2) if counts.values else ""


def _share(share: float) -> str:
    return f"{share:.3f}"


def _sum(groups: Iterable[Counts]) -> Counts:
    total = Counts()
    for counts in groups:
        total.add(counts)
    return total


def _failure_line(failure: Failure) -> str:
    value, before, after = map(_one_line, (failure.value, failure.before, failure.after))
    unseen = ", unseen" if failure.unseen else ""
    return f"- {failure.style}, {failure.language}{unseen}: `{value}` in `{before}` → `{after}`"


def _one_line(text: str) -> str:
    shown = text.replace("\n", "⏎").replace("\t", "⇥").replace("\r", "").replace("`", "'")
    return shown if len(shown) <= _MAX_LINE_CHARS else shown[:_MAX_LINE_CHARS] + "…"


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in body)])
