"""Renames between two commits as a page: modules from git, definitions by their order in each module.

    python tools/renames.py BASE [HEAD] > docs/explanation/renames.md

A definition counts as renamed where a run of definitions between two that kept their names has as many members as
before. Git finds a moved module by its contents. ``REWRITTEN`` names the successors of those whose contents changed too
much; an old module in neither ends the program.
"""

from __future__ import annotations

import ast
import difflib
import subprocess
import sys
from collections.abc import Iterator

ROOMS = ("mmplatform/", "assets/", "sensors/", "resources/", "quality/")
HEADER = """# Renames

Old and new names of the change that named rooms and symbols by the field's terms
([ADR 10](../adr/0010-names-and-rooms.md)). Generated from git by `python tools/renames.py {base}`, not by hand.
`git log --follow FILE` finds the history of a moved module. Renamed settings stand at the end.

## What an operator types or scrapes

| old | new |
|---|---|
| metric `mmplatform_gateway_busy_total` | `mmplatform_gateway_throttled_requests_total` |
| gauge `mmplatform_gateway_high_waters` | counter `mmplatform_gateway_high_water_reached_total` |
| metric `mmplatform_gateway_oldest_seconds` | `mmplatform_gateway_oldest_event_age_seconds` |
| metric `mmplatform_gateway_held_bytes` | `mmplatform_gateway_inflight_body_bytes` |
| value `slow` of `MMPLATFORM_…_POLICY`, and of the label `policy` | `throttle` |
| `mmplatform retry` | `mmplatform start-failed` |
| `mmplatform down --patience` | `mmplatform down --timeout` |
| `mmplatform topics --raise` | `mmplatform topics --partitions` |
| OpenLineage assertions: `0 rows set aside` | `0 rows quarantined` |

An old setting, verb or option is refused with its new name. An old metric is absent, so change alerts and dashboards
before the upgrade.
"""

REWRITTEN: dict[str, tuple[str, ...]] = {
    "assets/blob_checks.py": ("assets/checks/bytes_stored.py",),
    "assets/checks.py": (
        "assets/checks/__init__.py",
        "assets/checks/completeness.py",
        "assets/checks/contract.py",
        "assets/checks/factory.py",
        "assets/checks/freshness_gap.py",
    ),
    "assets/live_checks.py": (
        "assets/checks/factory.py",
        "assets/checks/freshness_breach.py",
        "assets/checks/lag.py",
        "assets/checks/quarantine_rate.py",
    ),
    "assets/looked_at.py": ("assets/checks/hours.py",),
    "assets/reprocessed.py": ("assets/reprocess.py",),
    "assets/swapped.py": ("assets/swap_embedder.py",),
    "assets/table_checks.py": (
        "assets/checks/completeness.py",
        "assets/checks/lineage_complete.py",
        "assets/checks/watermark.py",
    ),
    "assets/upkeep/history.py": ("assets/maintenance/dagster_storage.py",),
    "assets/upkeep/reports.py": ("assets/maintenance/reports.py",),
    "assets/upkeep/tables.py": ("assets/maintenance/tables.py",),
    "mmplatform/consumers/readiness.py": ("mmplatform/telemetry/readiness.py",),
    "mmplatform/consumers/reindexing.py": ("mmplatform/consumers/rebuild_index.py",),
    "mmplatform/consumers/relanding.py": ("mmplatform/consumers/rebuild_lakehouse.py",),
    "mmplatform/derive/call.py": ("mmplatform/derive/call/deriver.py",),
    "mmplatform/derive/call_audio.py": ("mmplatform/derive/call/audio_cache.py",),
    "mmplatform/derive/call_redaction.py": ("mmplatform/derive/call/redaction.py",),
    "mmplatform/derive/call_state.py": ("mmplatform/derive/call/state.py",),
    "mmplatform/derive/call_step.py": ("mmplatform/derive/call/reassembly.py",),
    "mmplatform/derive/call_taken.py": ("mmplatform/derive/call/dedup.py",),
    "mmplatform/derive/call_windows.py": ("mmplatform/derive/call/segmenter.py",),
    "mmplatform/derive/recognise.py": ("mmplatform/derive/call/transcription.py",),
    "mmplatform/derive/redact.py": ("mmplatform/derive/pii/redactor.py",),
    "mmplatform/derive/screenshot_read.py": ("mmplatform/derive/screenshot/ocr_cache.py",),
    "mmplatform/derive/utterances.py": ("mmplatform/derive/call/utterances.py",),
    "mmplatform/derive/voice.py": ("mmplatform/derive/call/vad.py",),
    "mmplatform/gateway.py": ("mmplatform/gateway/app.py", "mmplatform/gateway/server.py"),
    "mmplatform/ingest/budget.py": ("mmplatform/web/body_budget.py",),
    "mmplatform/ingest/canary.py": ("mmplatform/kafka/round_trip.py",),
    "mmplatform/ingest/client.py": ("mmplatform/client/client.py",),
    "mmplatform/ingest/dead_letters.py": ("mmplatform/kafka/dead_letters.py",),
    "mmplatform/ingest/files.py": ("mmplatform/sources/files/discovery.py",),
    "mmplatform/ingest/ledger.py": ("mmplatform/sources/files/report.py",),
    "mmplatform/ingest/looks.py": ("mmplatform/gateway/health.py",),
    "mmplatform/ingest/policies.py": ("mmplatform/ingest/backpressure_policy.py",),
    "mmplatform/ingest/raising.py": ("mmplatform/kafka/partitions.py",),
    "mmplatform/ingest/recent.py": ("mmplatform/ingest/idempotency.py",),
    "mmplatform/ingest/replay_log.py": ("mmplatform/kafka/reader.py",),
    "mmplatform/ingest/sending.py": ("mmplatform/sources/files/upload.py",),
    "mmplatform/land/expiry.py": ("mmplatform/land/lakehouse/maintenance/snapshot_expiry.py",),
    "mmplatform/land/index.py": ("mmplatform/land/index/store.py",),
    "mmplatform/land/lakehouse.py": ("mmplatform/land/lakehouse/store.py",),
    "mmplatform/land/landed.py": ("mmplatform/land/lakehouse/snapshot_offsets.py",),
    "mmplatform/land/locks.py": ("mmplatform/land/file_lock.py",),
    "mmplatform/land/nearest.py": ("mmplatform/land/index/exact_fallback.py",),
    "mmplatform/land/replacing.py": ("mmplatform/land/lakehouse/replace.py",),
    "mmplatform/land/restoring.py": ("mmplatform/land/lakehouse/restore.py",),
    "mmplatform/land/spaces.py": ("mmplatform/land/index/embedder_registry.py",),
    "mmplatform/land/table_turns.py": ("mmplatform/land/lakehouse/table_locks.py",),
    "mmplatform/lineage/source.py": ("mmplatform/lineage/code_version.py",),
    "mmplatform/local/child.py": ("mmplatform/local/supervisor/child.py",),
    "mmplatform/local/crowding.py": ("mmplatform/local/doctor/idle_derivers.py",),
    "mmplatform/local/doctor.py": (
        "mmplatform/local/doctor/doctor.py",
        "mmplatform/local/doctor/finding.py",
        "mmplatform/local/doctor/models.py",
    ),
    "mmplatform/local/handover.py": ("mmplatform/local/supervisor/handover.py",),
    "mmplatform/local/liveness.py": ("mmplatform/local/supervisor/liveness.py",),
    "mmplatform/local/reach.py": ("mmplatform/local/doctor/connectivity.py",),
    "mmplatform/local/restarts.py": ("mmplatform/local/supervisor/restart_policy.py",),
    "mmplatform/local/rolling.py": ("mmplatform/local/supervisor/rolling_restart.py",),
    "mmplatform/marks.py": ("mmplatform/settings/backpressure.py",),
    "mmplatform/pipeline/copying.py": ("mmplatform/pipeline/embedder_swap/copy.py",),
    "mmplatform/pipeline/differences.py": ("mmplatform/pipeline/reprocess/diff.py",),
    "mmplatform/pipeline/hour.py": ("mmplatform/pipeline/reprocess/hour.py",),
    "mmplatform/pipeline/in_step.py": ("mmplatform/pipeline/embedder_swap/dual_write.py",),
    "mmplatform/pipeline/parts.py": ("mmplatform/pipeline/reprocess/inputs.py",),
    "mmplatform/pipeline/raw_rows.py": ("mmplatform/pipeline/reprocess/raw_rows.py",),
    "mmplatform/pipeline/reprocess.py": ("mmplatform/pipeline/reprocess/reprocess.py",),
    "mmplatform/pipeline/swapping.py": ("mmplatform/pipeline/embedder_swap/swap.py",),
    "mmplatform/pipeline/turns.py": ("mmplatform/pipeline/reprocess/hour_lock.py",),
    "mmplatform/retrieve/by_bucket.py": ("mmplatform/telemetry/index_counts.py",),
    "mmplatform/retrieve/freshness.py": ("mmplatform/telemetry/freshness.py",),
    "mmplatform/retrieve/serving.py": ("mmplatform/retrieve/search/serving_embedder.py",),
    "mmplatform/settings.py": (
        "mmplatform/settings/dagster.py",
        "mmplatform/settings/environment.py",
        "mmplatform/settings/gateway.py",
        "mmplatform/settings/kafka.py",
        "mmplatform/settings/lineage.py",
        "mmplatform/settings/models.py",
        "mmplatform/settings/stores.py",
        "mmplatform/settings/workers.py",
    ),
    "quality/backlogs.py": ("quality/checks/lag.py",),
    "quality/breaches.py": ("quality/checks/freshness_breach.py",),
    "quality/completeness.py": ("quality/checks/completeness.py",),
    "quality/gaps.py": ("quality/reports/freshness.py",),
    "quality/offsets.py": ("quality/checks/offset_gaps.py",),
    "quality/owed.py": ("quality/checks/late_data.py",),
    "quality/setaside.py": ("quality/checks/quarantine_rate.py",),
    "quality/statistics.py": ("quality/reports/profile.py",),
    "quality/stored.py": ("quality/checks/bytes_stored.py",),
    "quality/traces.py": ("quality/checks/lineage_complete.py",),
    "quality/verdicts.py": (
        "quality/checks/backlog.py",
        "quality/checks/contract.py",
        "quality/checks/freshness_gap.py",
        "quality/checks/result.py",
    ),
    "quality/watermarks.py": ("quality/checks/watermark.py",),
    "resources/failing.py": ("resources/failures.py",),
    "resources/holes.py": ("resources/readers/offset_gaps.py",),
    "resources/readings.py": ("resources/readers/freshness_readings.py",),
    "resources/swapping.py": ("resources/embedder_swap.py",),
    "resources/writers.py": ("resources/readers/subscriptions.py",),
    "sensors/bucketed.py": ("sensors/index_landings_diff.py",),
    "sensors/diagnosis.py": ("sensors/diagnose_freshness.py",),
    "sensors/failures.py": ("sensors/run_failures.py",),
    "sensors/freshness.py": ("sensors/freshness_breach.py",),
    "sensors/landed.py": ("sensors/landings_diff.py",),
    "sensors/late.py": ("sensors/late_data.py",),
    "sensors/lateness.py": ("sensors/late_data_hours.py",),
    "sensors/ran.py": ("sensors/lineage_events.py",),
}
"""Successors of the modules that git shows as deleted and added, compared by hand."""


def git(*arguments: str) -> str:
    """The output of a git command."""
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout


def modules(base: str, head: str) -> Iterator[tuple[str, str]]:
    """Each Python module of the product at both commits: old path, new path; a divided module once for each part."""
    found = git("diff", "--name-status", "-M40%", "-l4000", base, head, "--", "*.py")
    present = set(git("ls-tree", "-r", "--name-only", head).splitlines())
    lost = []
    for line in found.splitlines():
        status, *paths = line.split("\t")
        if not paths[0].startswith(ROOMS):
            continue
        if status[0] in "MR":
            yield paths[0], paths[-1]
        elif status[0] == "D":
            successors = REWRITTEN.get(paths[0], ())
            if not successors or not present.issuperset(successors):
                lost.append(paths[0])
            yield from ((paths[0], new) for new in successors)
    if lost:
        sys.exit(f"no successor in REWRITTEN, or one that does not exist: {', '.join(lost)}")


def definitions(source: str) -> list[str]:
    """Classes, functions, methods and constants in their order, with the names of the classes around them."""

    def walk(body: list[ast.stmt], prefix: str) -> Iterator[str]:
        for node in body:
            if isinstance(node, ast.ClassDef):
                yield f"{prefix}{node.name}"
                yield from walk(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{prefix}{node.name}"
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                yield f"{prefix}{node.target.id}"

    return list(walk(ast.parse(source).body, ""))


def renamed(old: list[str], new: list[str]) -> Iterator[tuple[str, str]]:
    """Pairs of an old and a new name, with the last part differing."""
    pairs: dict[str, str] = {}

    def tail(name: str) -> str:
        return name.rpartition(".")[2]

    blocks = difflib.SequenceMatcher(None, [tail(name) for name in old], [tail(name) for name in new], autojunk=False)
    for tag, start, end, other_start, other_end in blocks.get_opcodes():
        if tag == "replace" and end - start == other_end - other_start:
            pairs |= dict(zip(old[start:end], new[other_start:other_end], strict=True))
    for before, after in pairs.items():
        if tail(before) != tail(after) and not tail(before).startswith("_"):
            yield before, after


def main() -> None:
    """Print the page."""
    base, head = sys.argv[1], (sys.argv[2:] or ["HEAD"])[0]
    pairs = sorted(modules(base, head), key=lambda pair: pair[1])
    print(HEADER.format(base=base))
    print("## Modules\n\n| old | new |\n|---|---|")
    for old, new in pairs:
        if old != new:
            print(f"| `{old}` | `{new}` |")
    print("\n## Public names\n")
    for old, new in pairs:
        if len(REWRITTEN.get(old, ())) > 1:  # the order of definitions says nothing about the parts of a divided module
            continue
        found = list(renamed(definitions(git("show", f"{base}:{old}")), definitions(git("show", f"{head}:{new}"))))
        if found:
            print(f"### {new}\n\n| old | new |\n|---|---|")
            print("\n".join(f"| `{before}` | `{after}` |" for before, after in found), end="\n\n")
    print("## Settings\n\n| old | new |\n|---|---|")
    listing = ast.parse(git("show", f"{head}:mmplatform/settings/renamed.py"))
    [table] = [node.value for node in listing.body if isinstance(node, ast.AnnAssign) and node.value is not None]
    for before, after in ast.literal_eval(table).items():
        print(f"| `MMPLATFORM_{before.upper()}` | `MMPLATFORM_{after.upper()}` |")


if __name__ == "__main__":
    main()
