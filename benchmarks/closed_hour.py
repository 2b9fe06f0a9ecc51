"""Measures the time from the end of an hour until all its checks are evaluated, from the runs of a stack's Dagster.

    python -m benchmarks.closed_hour DATA_DIR

The stack must have run over the end of an hour. Its schedule waits two minutes, because rows younger than that count as
in progress; the rest is the start of a run and the checks themselves.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from assets.checks.schedules import JOB
from benchmarks.machine import describe
from mmplatform.pipeline.reprocess.reprocess import HOUR_FORMAT

HOUR_TAG = "mmplatform/hour"


def main() -> None:
    """Print a row for each hour."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path)
    home = parser.parse_args().data_dir / "dagster"
    if not (home / "dagster.yaml").exists():
        raise SystemExit(f"no Dagster instance in {home}: give the data directory of a stack with Dagster")
    print(f"machine: {describe()}\n\n| hour | checks | run starts, s after the hour's end | checks evaluated, s |")
    print("|---|---|---|---|")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        for record in instance.get_run_records(dg.RunsFilter(job_name=JOB)):
            hour = record.dagster_run.tags.get(HOUR_TAG)
            if hour is None or record.end_time is None or record.start_time is None:
                continue
            ended = datetime.strptime(hour, HOUR_FORMAT).replace(tzinfo=UTC) + timedelta(hours=1)
            evaluated = instance.get_records_for_run(
                record.dagster_run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
            ).records
            seconds = [moment - ended.timestamp() for moment in (record.start_time, record.end_time)]
            print(f"| {hour} | {len(evaluated)} | {seconds[0]:.0f} | {seconds[1]:.0f} |", flush=True)


if __name__ == "__main__":
    main()
