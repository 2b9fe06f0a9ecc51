"""The sensors: they report landings, runs and check outcomes.

A file is named as the sensor that it holds, and its pure half begins with the same name. The others are shared
(``cursors``, ``ticks``, ``state_changes``) or hold a job (``diagnose_freshness``).

Neither the stream nor a run waits for them.
"""

from __future__ import annotations

import dagster as dg

from sensors.complete_up_to import complete_up_to_sensor
from sensors.freshness_breach import freshness_breach_sensor
from sensors.incomplete_partitions import incomplete_partitions_sensor
from sensors.index_landings import index_landings_sensor
from sensors.lag import lag_sensor
from sensors.landings import landings_sensor
from sensors.late_data import late_data_sensor
from sensors.lineage import lineage_sensor
from sensors.quarantine import quarantine_sensor
from sensors.run_failures import run_failures_sensor
from sensors.upkeep_due import upkeep_due_sensor


def all_sensors() -> list[dg.SensorDefinition]:
    """Every sensor."""
    return [
        landings_sensor,
        complete_up_to_sensor,
        lineage_sensor,
        freshness_breach_sensor,
        quarantine_sensor,
        run_failures_sensor,
        index_landings_sensor,
        lag_sensor,
        late_data_sensor,
        incomplete_partitions_sensor,
        upkeep_due_sensor,
    ]
