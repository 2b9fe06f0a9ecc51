"""What is said of a landing, every event held to the specification."""

from __future__ import annotations

import pytest
from openlineage.client.serde import Serde

from mmplatform.derive.passages import quarantine
from mmplatform.errors import Unavailable
from mmplatform.land.lakehouse.schemas import SPECS
from mmplatform.land.lakehouse.snapshot_offsets import CommitResult
from mmplatform.lineage.columns import COLUMN_SOURCES
from mmplatform.lineage.landings import StreamLineage
from mmplatform.modalities import TABLES
from mmplatform.settings import load
from tests.builders import arrival, chat, chunk, message, passage, position, screenshot
from tests.lineage.events import COLUMNS, RecordingSink, placed
from tests.lineage.spec import check

WAREHOUSE = "s3://lake/warehouse"
NAMESPACE = f"{WAREHOUSE}/mmplatform"
DONE = CommitResult(rows=2, size=4096, files=1, snapshot_id=77, location=f"{WAREHOUSE}/mmplatform/t")


class Recorded:
    """A stream's lineage and the events that it made."""

    def __init__(self) -> None:
        self._sink = RecordingSink()
        settings = load(kafka_bootstrap_servers="broker:9092", iceberg_warehouse=WAREHOUSE, topic_prefix="eu.")
        self.lineage = StreamLineage(settings, COLUMNS, self._sink, "3.28")

    @property
    def events(self):
        return [check(Serde.to_dict(event)) for event in self._sink.events]


@pytest.fixture
def recorded():
    return Recorded()


def land(recorded, *rows, done=DONE):
    """Land rows of one table; START and COMPLETE."""
    table = rows[0][0]
    with recorded.lineage.landing(table, [row for _, row in rows]) as report:
        report(done)
    return recorded.events[-2:]


def names(datasets):
    return {(each["namespace"], each["name"]) for each in datasets}


def named(datasets, name):
    return next(each for each in datasets if each["name"] == name)


def test_a_landing_starts_and_completes_as_one_run_of_one_job(recorded):
    start, complete = land(recorded, placed(chat(1), 4, "interactions.chat"), placed(chat(2), 9, "interactions.chat"))
    assert [start["eventType"], complete["eventType"]] == ["START", "COMPLETE"]
    assert start["run"]["runId"] == complete["run"]["runId"]
    assert start["job"]["namespace"] == "mmplatform"
    assert start["job"]["name"] == complete["job"]["name"] == "archive.raw_chats"
    assert start["eventTime"] <= complete["eventTime"]


def test_the_output_has_schema_statistics_version_and_its_other_names(recorded):
    _, complete = land(recorded, placed(chat(1), 4, "interactions.chat"))
    (output,) = complete["outputs"]
    assert (output["namespace"], output["name"]) == (NAMESPACE, "raw_chats")
    fields = [(field["name"], field["type"]) for field in output["facets"]["schema"]["fields"]]
    assert fields == list(SPECS["raw_chats"].columns)
    statistics = output["outputFacets"]["outputStatistics"]
    assert (statistics["rowCount"], statistics["size"], statistics["fileCount"]) == (2, 4096, 1)
    assert output["facets"]["version"]["datasetVersion"] == "77"
    identifiers = output["facets"]["symlinks"]["identifiers"]
    assert [(each["namespace"], each["name"], each["type"]) for each in identifiers] == [
        (WAREHOUSE, "mmplatform.raw_chats", "TABLE"),
        ("s3://lake", "warehouse/mmplatform/t", "LOCATION"),
    ]
    assert output["facets"]["catalog"]["type"] == "sql"


def test_the_inputs_are_topics_with_the_offsets_of_this_landing(recorded):
    rows = [placed(chat(number), number, "interactions.chat") for number in (7, 4, 9)]
    other = position(2, "interactions.chat").model_copy(update={"topic_partition": 1})
    rows.append((rows[0][0], (other, rows[0][1][1])))
    start, _ = land(recorded, *rows)
    (topic,) = start["inputs"]
    assert (topic["namespace"], topic["name"]) == ("kafka://broker:9092", "eu.interactions.chat")
    assert topic["inputFacets"]["inputStatistics"]["rowCount"] == 4
    assert topic["inputFacets"]["mmplatform_logOffsets"]["topicPartitions"] == [
        {"topicPartition": 0, "first": 4, "last": 9, "rows": 3},
        {"topicPartition": 1, "first": 2, "last": 2, "rows": 1},
    ]


def test_column_lineage_leads_to_tables_that_are_inputs(recorded):
    source = message(chat(1), position(1, "interactions.chat"))
    _, messages = land(recorded, placed(source))
    _, passages = land(recorded, placed(passage(source)))
    assert names(messages["inputs"]) == {("kafka://broker:9092", "eu.artifacts"), (NAMESPACE, "raw_chats")}
    assert names(passages["inputs"]) == {("kafka://broker:9092", "eu.artifacts"), (NAMESPACE, "messages")}
    fields = messages["outputs"][0]["facets"]["columnLineage"]["fields"]
    assert set(fields) == set(COLUMN_SOURCES["messages"]["raw_chats"])
    (text,) = fields["text"]["inputFields"]
    assert (text["namespace"], text["name"], text["field"]) == (NAMESPACE, "raw_chats", "text")
    assert text["transformations"] == [{"type": "DIRECT", "subtype": "TRANSFORMATION", "masking": True}]
    (vector,) = passages["outputs"][0]["facets"]["columnLineage"]["fields"]["vector"]["inputFields"]
    assert (vector["name"], vector["field"]) == ("messages", "text")


def test_the_landing_of_quarantine_tells_which_rules_were_broken_how_often(recorded):
    rows = [
        placed(quarantine(arrival(event), contract=contract, reasons=reasons), number, "quarantine")
        for number, (event, contract, reasons) in enumerate(
            [
                (chat(1), "raw_chats", ["text: text not blank", "event_time: event_time after 2000-01-01"]),
                (chat(2), "raw_chats", ["text: text not blank"]),
                (chat(3), "passages", ["text: no card number"]),
                (chunk(4), "call", ["the audio cannot be decoded: it is empty"]),
                (screenshot(5), "shed", ["too many events were waiting for its deriver"]),
                (screenshot(6), "shed", ["too many events were waiting for its deriver"]),
            ]
        )
    ]
    _, complete = land(recorded, *rows)
    assert names(complete["inputs"]) == {
        ("kafka://broker:9092", "eu.quarantine"),
        *((NAMESPACE, table) for table in ("raw_chats", "raw_calls", "raw_screenshots", "passages")),
    }

    def verdicts(table):
        facet = named(complete["inputs"], table)["inputFacets"]["dataQualityAssertions"]
        return [
            (each["assertion"], each.get("column"), each["success"], each["actual"]) for each in facet["assertions"]
        ]

    assert verdicts("raw_chats") == [
        ("event_time after 2000-01-01", "event_time", False, "1 rows quarantined"),
        ("text not blank", "text", False, "2 rows quarantined"),
    ]
    assert verdicts("passages") == [("no card number", "text", False, "1 rows quarantined")]
    assert verdicts("raw_calls") == [("derivable", None, False, "1 rows quarantined")]
    assert verdicts("raw_screenshots") == [("shed", None, False, "2 rows quarantined")]


def test_a_landing_that_fails_says_why_and_the_error_goes_on(recorded):
    table, row = placed(chat(1))
    with pytest.raises(Unavailable), recorded.lineage.landing(table, [row]):
        raise Unavailable("lakehouse: cannot append")
    start, fail = recorded.events
    assert (fail["eventType"], fail["run"]["runId"]) == ("FAIL", start["run"]["runId"])
    assert fail["run"]["facets"]["errorMessage"]["message"] == "Unavailable: lakehouse: cannot append"


def test_an_error_of_somebody_elses_is_reported_without_what_it_quotes(recorded):
    table, row = placed(chat(1))
    with pytest.raises(ValueError, match="secret"), recorded.lineage.landing(table, [row]):
        raise ValueError("a secret text")
    assert recorded.events[-1]["run"]["facets"]["errorMessage"]["message"] == "ValueError"


def test_nothing_new_completes_with_no_rows(recorded):
    _, complete = land(recorded, placed(chat(1)), done=CommitResult())
    assert complete["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 0
    assert "version" not in complete["outputs"][0]["facets"]


def test_a_landing_is_part_of_the_workers_run(recorded):
    recorded.lineage.begin()
    land(recorded, placed(chat(1)))
    recorded.lineage.end()
    begin, start, complete, end = recorded.events
    assert (begin["job"]["name"], begin["eventType"], end["eventType"]) == ("archive", "START", "COMPLETE")
    assert begin["run"]["runId"] == end["run"]["runId"]
    for event in (start, complete):
        parent = event["run"]["facets"]["parent"]
        assert parent["run"]["runId"] == parent["root"]["run"]["runId"] == begin["run"]["runId"]
        assert parent["job"]["name"] == "archive"
    assert begin["job"]["facets"]["jobType"]["processingType"] == "STREAMING"
    assert start["job"]["facets"]["jobType"]["processingType"] == "BATCH"


def test_a_worker_that_dies_of_an_error_fails_its_run(recorded):
    recorded.lineage.begin()
    recorded.lineage.end(KeyError("secret"))
    assert recorded.events[-1]["eventType"] == "FAIL"
    assert recorded.events[-1]["run"]["facets"]["errorMessage"]["message"] == "KeyError"


def test_every_table_has_a_schema_in_its_events(recorded):
    assert set(COLUMNS) == set(TABLES)
    for table in TABLES:
        written = recorded.lineage._datasets.output_dataset(table, COLUMN_SOURCES.get(table, {}))
        assert len(written.facets["schema"].fields) == len(SPECS[table].columns)
