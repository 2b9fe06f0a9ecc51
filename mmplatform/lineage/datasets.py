"""Tables, topics and assets as OpenLineage datasets with their facets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    DatasetFacet,
    InputDatasetFacet,
    OutputDatasetFacet,
    catalog_dataset,
    column_lineage_dataset,
    data_quality_assertions_dataset,
    dataset_type_dataset,
    dataset_version_dataset,
    input_statistics_input_dataset,
    output_statistics_output_dataset,
    schema_dataset,
    symlinks_dataset,
)

from mmplatform.lineage import names
from mmplatform.lineage.columns import COLUMN_SOURCES
from mmplatform.lineage.facets import PRODUCER
from mmplatform.lineage.offsets import FACET, OffsetSpan, log_offsets
from mmplatform.settings import Settings


@dataclass(frozen=True, slots=True)
class WriteStatistics:
    """Statistics of a write to a dataset; ``None`` or empty: unknown. ``version`` is Iceberg's snapshot."""

    rows: int | None = None
    size: int | None = None
    files: int | None = None
    version: str = ""
    location: str = ""


@dataclass(frozen=True, slots=True)
class Assertion:
    """Result of a data quality rule on a dataset or one of its columns."""

    rule: str
    passed: bool
    column: str | None = None
    severity: str | None = None
    name: str | None = None
    expected: str | None = None
    actual: str | None = None


class Datasets:
    """The datasets of one installation; ``columns`` are those of each table: name and type."""

    def __init__(self, settings: Settings, columns: Mapping[str, Sequence[tuple[str, str]]]) -> None:
        self._settings = settings
        self._columns = columns

    def input_dataset(self, key: str, assertions: Sequence[Assertion] = ()) -> InputDataset:
        """A table or an asset that a run reads, with its quality assertions."""
        name = names.asset(self._settings, key)
        facets: dict[str, InputDatasetFacet] = (
            {"dataQualityAssertions": _assertions_facet(assertions)} if assertions else {}
        )
        return InputDataset(name.namespace, name.name, inputFacets=facets, facets=self._table_facets(key, ""))

    def output_dataset(
        self, key: str, sources: Collection[str], written: WriteStatistics | None = None
    ) -> OutputDataset:
        """A table or an asset that a run writes; ``sources`` are its source tables in this run."""
        name = names.asset(self._settings, key)
        facets = self._table_facets(key, written.location if written else "") | self._column_lineage(key, sources)
        if written is None:
            return OutputDataset(name.namespace, name.name, facets=facets)
        if written.version:
            facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(
                datasetVersion=written.version, producer=PRODUCER
            )
        statistics: dict[str, OutputDatasetFacet] = {
            "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                rowCount=written.rows, size=written.size, fileCount=written.files, producer=PRODUCER
            )
        }
        return OutputDataset(name.namespace, name.name, outputFacets=statistics, facets=facets)

    def topic_dataset(self, topic: str, spans: Mapping[int, OffsetSpan]) -> InputDataset:
        """A topic and the offsets of it that were read, by topic partition."""
        name = names.topic(self._settings, topic)
        facets: dict[str, Any] = {
            "inputStatistics": input_statistics_input_dataset.InputStatisticsInputDatasetFacet(
                rowCount=sum(span.rows for span in spans.values()), producer=PRODUCER
            ),
            FACET: log_offsets(spans, PRODUCER),
        }
        return InputDataset(name.namespace, name.name, inputFacets=facets, facets=_type_facet("TOPIC"))

    def _table_facets(self, key: str, location: str) -> dict[str, DatasetFacet]:
        """Facets of a table for reads and writes; none for an asset that only Dagster knows."""
        if key not in self._columns:
            return {}
        catalog = names.catalog(self._settings)
        return {
            **_type_facet("TABLE"),
            "schema": schema_dataset.SchemaDatasetFacet(
                fields=[
                    schema_dataset.SchemaDatasetFacetFields(
                        name=name, type=kind, ordinal_position=position, fields=None
                    )
                    for position, (name, kind) in enumerate(self._columns[key], start=1)
                ],
                producer=PRODUCER,
            ),
            "catalog": catalog_dataset.CatalogDatasetFacet(
                framework="iceberg",
                type=catalog.kind,
                name="mmplatform",
                metadataUri=catalog.uri or None,
                warehouseUri=catalog.warehouse or None,
                catalogProperties=None,
                producer=PRODUCER,
            ),
            "symlinks": self._symlinks(key, location),
        }

    def _symlinks(self, key: str, location: str) -> DatasetFacet:
        symlinks = [("TABLE", names.table_in_catalog(self._settings, key))]
        if location:
            symlinks.append(("LOCATION", names.file_location(location)))
        return symlinks_dataset.SymlinksDatasetFacet(
            identifiers=[symlinks_dataset.Identifier(name.namespace, name.name, kind) for kind, name in symlinks],
            producer=PRODUCER,
        )

    def _column_lineage(self, key: str, sources: Collection[str]) -> dict[str, DatasetFacet]:
        fields: dict[str, list[column_lineage_dataset.InputField]] = {}
        for source, columns in COLUMN_SOURCES.get(key, {}).items():
            if source not in sources:
                continue
            name = names.table(self._settings, source)
            for column, origins in columns.items():
                fields.setdefault(column, []).extend(
                    column_lineage_dataset.InputField(
                        namespace=name.namespace,
                        name=name.name,
                        field=origin.column,
                        transformations=[
                            column_lineage_dataset.Transformation(
                                "DIRECT", origin.transformation, masking=origin.masked
                            )
                        ],
                    )
                    for origin in origins
                )
        if not fields:
            return {}
        facet = column_lineage_dataset.ColumnLineageDatasetFacet(
            fields={column: column_lineage_dataset.Fields(origins) for column, origins in fields.items()},
            dataset=None,
            producer=PRODUCER,
        )
        return {"columnLineage": facet}


def _assertions_facet(assertions: Sequence[Assertion]) -> InputDatasetFacet:
    return data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
        assertions=[
            data_quality_assertions_dataset.Assertion(
                assertion=assertion.rule,
                success=assertion.passed,
                column=assertion.column,
                severity=assertion.severity,
                name=assertion.name,
                expected=assertion.expected,
                actual=assertion.actual,
                params=None,
            )
            for assertion in assertions
        ],
        producer=PRODUCER,
    )


def _type_facet(kind: str) -> dict[str, DatasetFacet]:
    return {"datasetType": dataset_type_dataset.DatasetTypeDatasetFacet(datasetType=kind, producer=PRODUCER)}
