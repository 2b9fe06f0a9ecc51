"""Every table of the product that has one entry for each modality: a new modality that forgets one fails here."""

from __future__ import annotations

from typing import get_args

import pytest

from assets import derived, raw
from assets.maintenance import reports
from mmplatform.artifacts import Artifact, Passage
from mmplatform.events import MODALITY_BY_KIND, Event, Modality
from mmplatform.land.lakehouse.schemas import SPECS
from mmplatform.lineage.columns import COLUMN_SOURCES, COLUMNS_WITHOUT_SOURCE
from mmplatform.local.services.services import StackOptions
from mmplatform.locators import CallLocator, ChatLocator, ImageLocator, Locator
from mmplatform.modalities import MODALITIES, TABLE_BY_ARTIFACT_KIND
from mmplatform.pipeline.factories import DERIVER_FACTORIES, open_deriver
from mmplatform.pipeline.reprocess.inputs import MODEL_SETTINGS
from mmplatform.settings import load
from mmplatform.settings.backpressure import BackpressureSettings
from mmplatform.worker import WORKERS
from quality.contracts import CONTRACTS
from quality.reports import costs, profile
from quality.slas import ASSET_WINDOWS, MODALITY_SLAS

BY_MODALITY = {
    "mmplatform.modalities.MODALITIES": MODALITIES,
    "mmplatform.events.MODALITY_BY_KIND": MODALITY_BY_KIND.values(),
    "mmplatform.settings.backpressure": BackpressureSettings.model_fields,
    "mmplatform.pipeline.factories": DERIVER_FACTORIES,
    "mmplatform.pipeline.reprocess.inputs": MODEL_SETTINGS,
    "mmplatform.local.services.services": StackOptions().derivers,
    "mmplatform.worker": [name.removeprefix("derive-") for name in WORKERS if name.startswith("derive-")],
    "assets.raw records": raw._RECORDS,
    "assets.raw descriptions": raw._DESCRIPTIONS,
    "assets.derived records": derived._RECORDS,
    "assets.derived descriptions": derived._DESCRIPTIONS,
    "assets.maintenance.reports": reports._UNIT_METADATA,
    "quality.reports.costs": costs._UNITS,
    "quality.slas": MODALITY_SLAS,
}
BY_TABLE = {
    "mmplatform.land.lakehouse.schemas": SPECS,
    "quality.contracts": CONTRACTS,
    "quality.slas": ASSET_WINDOWS,
    "quality.reports.profile": profile._PROFILES,
}


@pytest.mark.parametrize("name", BY_MODALITY)
def test_a_table_by_modality_has_each_of_them(name):
    assert set(BY_MODALITY[name]) == set(get_args(Modality))


@pytest.mark.parametrize("name", BY_TABLE)
@pytest.mark.parametrize("modality", get_args(Modality))
def test_a_table_by_table_has_the_raw_and_the_derived_one_of_each_modality(name, modality):
    spec = MODALITIES[modality]
    assert {spec.raw_table, spec.derived_table} - set(BY_TABLE[name]) == set()


@pytest.mark.parametrize("modality", get_args(Modality))
def test_the_derived_table_of_each_modality_has_column_lineage_from_its_raw_table(modality):
    spec = MODALITIES[modality]
    assert spec.raw_table in COLUMN_SOURCES[spec.derived_table]
    assert spec.derived_table in COLUMNS_WITHOUT_SOURCE


def test_each_kind_of_event_and_of_artifact_has_its_modality_and_its_table():
    events = {event.model_fields["kind"].default for event in get_args(Event)}
    assert events == set(MODALITY_BY_KIND) == {kind for spec in MODALITIES.values() for kind in spec.event_kinds}
    artifacts = {kind.model_fields["kind"].default for kind in get_args(Artifact)}
    assert artifacts == set(TABLE_BY_ARTIFACT_KIND)
    assert set(get_args(Passage.model_fields["source_kind"].annotation)) == artifacts - {"passage", "retraction"}


def test_each_modality_has_a_locator():
    """A search cites by it; mypy holds ``format_locator`` to the same three."""
    [union, _] = get_args(Locator)
    assert get_args(union) == (ChatLocator, CallLocator, ImageLocator)
    assert len(get_args(union)) == len(get_args(Modality))


def test_an_unknown_modality_has_no_deriver():
    with pytest.raises(KeyError, match="video"):
        open_deriver(load(), "video", None, None)
