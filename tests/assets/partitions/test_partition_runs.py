"""Hours of raw tables and buckets of the index as real Dagster runs, in this process, over real stores."""

from __future__ import annotations

import dagster as dg
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from assets import all_assets
from assets.checks.hours import RANGE_TAGS
from mmplatform.buckets import bucket_name
from mmplatform.kafka.connection import client_config
from mmplatform.kafka.topics import topic_name
from mmplatform.land.index.store import ChromaIndex
from mmplatform.modalities import CHAT
from resources.lakehouse import LakehouseResource
from resources.stack import StackResource
from sensors.incomplete_partitions import MAX_RUNS, IncompletePartitionsCursor, incomplete_partitions_sensor
from tests.consumers.lost_store import World
from tests.land.records import NOON, chat, passage

pytestmark = pytest.mark.broker
HOUR = f"{NOON:%Y-%m-%d-%H:00}"
LATER = f"{NOON.replace(hour=13):%Y-%m-%d-%H:00}"
BUCKET = bucket_name(passage(1).subject_key)
ASSETS = [
    each
    for each in all_assets()
    if isinstance(each, dg.AssetsDefinition) and each.op.name.startswith(("restore_", "rebuild_"))
]


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


@pytest.fixture(autouse=True)
def without_models(settings, tmp_path, monkeypatch):
    """The passages here are of an embedder that is on no machine."""
    monkeypatch.setenv("MMPLATFORM_MODELS_DIR", str(tmp_path))
    del settings


@pytest.fixture
def run(settings, instance):
    def launch(name, partition, until=None, **config):
        return dg.materialize(
            ASSETS,
            selection=[name],
            partition_key=None if until else partition,
            tags=dict(zip(RANGE_TAGS, (partition, until), strict=True)) if until else {},
            resources={
                "lakehouse": LakehouseResource(data_dir=str(settings.data_dir)),
                "stack": StackResource(data_dir=str(settings.data_dir)),
            },
            run_config={"ops": {f"rebuild_{name}": {"config": config}}} if config else {},
            instance=instance,
            raise_on_error=False,
        )

    return launch


def materialized(result):
    return {
        event.partition: {name: value.value for name, value in event.materialization.metadata.items()}
        for event in result.get_asset_materialization_events()
    }


def failure(result):
    [event] = result.get_step_failure_events()
    return event.step_failure_data.user_failure_data.description


def test_hours_of_a_raw_table_are_landed_again_in_one_run_with_figures_each(run, settings):
    world = World(settings)
    events = [chat(1), chat(2, at=NOON.replace(hour=13))]
    world.archived(world.write(CHAT.topic, *events)[-1])
    result = run("raw_chats", HOUR, until=LATER)
    assert result.success
    found = materialized(result)
    assert {hour: (each["read"], each["added"]) for hour, each in found.items()} == {HOUR: (1, 1), LATER: (1, 1)}
    assert set(world.rows("raw_chats")) == {"event-1", "event-2"}
    again = materialized(run("raw_chats", HOUR))[HOUR]
    assert (again["added"], again["replaced"], again["unchanged"]) == (0, 0, 1)
    assert again["dagster/partition_row_count"] == 1


def test_an_hour_that_the_log_has_expired_fails_by_its_offsets(run, settings):
    world = World(settings)
    world.archived(world.write(CHAT.topic, chat(1), chat(2), chat(3))[-1])
    admin = AdminClient(client_config(settings))
    topic = topic_name(settings, CHAT.topic)
    for future in admin.delete_records([TopicPartition(topic, 0, 2)]).values():
        future.result(30)
    result = run("raw_chats", HOUR)
    assert not result.success
    assert f"{HOUR}: interactions.chat[0]: 0-1" in failure(result)
    assert set(world.rows("raw_chats")) == {"event-3"}, "what the log still has is landed all the same"
    assert materialized(result) == {}


def test_a_bucket_is_rebuilt_with_its_figures_and_an_unknown_passage_fails_until_it_may_go(run, settings, stores):
    stores.land(passage(1), passage(2))
    stores.index(passage(1), passage(3), at=NOON)
    result = run("index", BUCKET)
    assert not result.success
    assert f"bucket {BUCKET} has 1 passages that neither" in failure(result)
    figures = materialized(run("index", BUCKET, drop_unknown=True))[BUCKET]
    assert (figures["dagster/partition_row_count"], figures["added"], figures["removed"]) == (2, 1, 1)
    index = ChromaIndex.open(settings)
    assert set(index.ids()) == {passage(1).artifact_id, passage(2).artifact_id}
    index.close()


def test_all_buckets_are_a_range(run, stores):
    stores.land(passage(1))
    result = run("index", "b14", until="b15")
    assert result.success
    assert set(materialized(result)) == {"b14", "b15"}


def evaluate(instance, asset, *, passed, **metadata):
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(asset), check_name="completeness", passed=passed, metadata=metadata
        )
    )


def tick(instance, cursor=None):
    context = dg.build_sensor_context(instance=instance, cursor=cursor)
    return incomplete_partitions_sensor(context)


def test_lost_rows_and_passages_start_runs_once(instance):
    assert not tick(instance).run_requests
    evaluate(instance, "raw_chats", passed=False, incomplete_partitions=[HOUR, LATER])
    evaluate(instance, "index", passed=False, incomplete_partitions=[BUCKET])
    evaluate(instance, "raw_calls", passed=True)
    evaluate(instance, "messages", passed=False, incomplete_partitions=[HOUR])
    found = tick(instance)
    requests = {(next(iter(each.asset_selection)).to_user_string(), each.partition_key) for each in found.run_requests}
    assert requests == {("raw_chats", HOUR), ("raw_chats", LATER), ("index", BUCKET), ("messages", HOUR)}
    assert len({each.run_key for each in found.run_requests}) == 4
    assert not tick(instance, found.cursor).run_requests
    evaluate(instance, "raw_chats", passed=False, incomplete_partitions=[HOUR])
    assert not tick(instance, found.cursor).run_requests, "one run a day for a partition"
    again = {each.run_key for each in tick(instance).run_requests}
    assert again <= {each.run_key for each in found.run_requests}, "after a lost cursor Dagster knows the keys"
    assert IncompletePartitionsCursor.parse("of another version") == IncompletePartitionsCursor()


def test_a_check_that_still_runs_names_nothing_yet_and_its_result_is_read(instance):
    ticks = []

    @dg.asset_check(asset="raw_chats", name="completeness")
    def incomplete(context):
        ticks.append(tick(context.instance))
        return dg.AssetCheckResult(passed=False, metadata={"incomplete_partitions": [HOUR]})

    job = dg.Definitions(asset_checks=[incomplete]).resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(instance=instance).success
    [during] = ticks
    assert not during.run_requests
    [request] = tick(instance, during.cursor).run_requests
    assert request.partition_key == HOUR


def test_a_failure_without_a_partition_starts_nothing_and_many_partitions_wait(instance):
    evaluate(instance, "index", passed=False)
    assert not tick(instance).run_requests
    evaluate(instance, "index", passed=False, incomplete_partitions=[f"b{number:02d}" for number in range(16)])
    assert len(tick(instance).run_requests) == MAX_RUNS


def test_partitions_that_stay_incomplete_do_not_hold_up_the_others(instance):
    buckets, cursor, requested = [f"b{number:02d}" for number in range(16)], None, []
    for _ in range(4):
        evaluate(instance, "index", passed=False, incomplete_partitions=buckets)
        result = tick(instance, cursor)
        cursor, requested = result.cursor, requested + [each.partition_key for each in result.run_requests]
    assert sorted(requested) == buckets
