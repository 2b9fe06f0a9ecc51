"""The sensors: what landed is reported, what ran is told; nothing here is in the way of the data."""

from __future__ import annotations

import dagster as dg

from sensors.freshness_breach import freshness_sensor
from sensors.index_landings import index_sensor
from sensors.lag import lag_sensor
from sensors.landings import landings_sensor
from sensors.late_data import late_sensor
from sensors.lineage import lineage_sensor
from sensors.quarantine import quarantine_sensor
from sensors.run_failures import failures_sensor


def all_sensors() -> list[dg.SensorDefinition]:
    """Every sensor."""
    return [
        landings_sensor,
        lineage_sensor,
        freshness_sensor,
        quarantine_sensor,
        failures_sensor,
        index_sensor,
        lag_sensor,
        late_sensor,
    ]
