"""The job ``swap_embedder`` as a real Dagster run, in this process, over real stores and models."""

from __future__ import annotations

import dagster as dg
import pytest

from assets.swap_embedder import build_embedder_index, swap_embedder
from definitions import defs
from mmplatform.buckets import BUCKET_NAMES
from mmplatform.derive.chat import ChatDeriver
from mmplatform.land.index.embedder_registry import EmbedderRegistry
from mmplatform.memo import MemoryMemo
from mmplatform.pipeline.embedder_swap import swap
from mmplatform.pipeline.factories import resolve_space
from resources.embedder_swap import EmbedderSwapResource
from tests.builders import chat
from tests.pipeline.stream import Stream

pytestmark = pytest.mark.models
NEW = "minilm-fp32"


@pytest.fixture
def run(settings, index, monkeypatch):
    monkeypatch.setenv("MMPLATFORM_CHROMA_URL", settings.chroma_url)
    EmbedderRegistry(index).ensure_serving(resolve_space(settings))
    with dg.DagsterInstance.ephemeral() as instance:

        def launch(**config):
            return swap_embedder.execute_in_process(
                resources={"swapping": EmbedderSwapResource(data_dir=str(settings.data_dir))},
                run_config={"ops": {"build_embedder_index": {"config": config}}},
                instance=instance,
                raise_on_error=False,
            )

        yield launch


@pytest.fixture
def streamed(lakehouse, dual_write_index, run, embedder, redactor):
    Stream(lakehouse, dual_write_index).send(
        [chat(n, subject_id=f"cust-{n}", text=f"order {n} is late") for n in range(4)],
        ChatDeriver(embedder, redactor, MemoryMemo()),
    )
    return run


def failure(result):
    [event] = result.get_step_failure_events()
    return event.step_failure_data.user_failure_data.description


def observations(result):
    """The observed metadata of each bucket."""
    found = [event.event_specific_data.asset_observation for event in result.all_events if event.is_asset_observation]
    assert {each.asset_key for each in found} == {dg.AssetKey("index")}
    return {each.partition: {name: value.value for name, value in each.metadata.items()} for each in found}


def test_a_run_builds_every_bucket_and_swaps(streamed, settings, index):
    old, new = resolve_space(settings), resolve_space(settings, NEW)
    result = streamed(embedder=NEW)
    assert result.success
    buckets = observations(result)
    assert list(buckets) == list(BUCKET_NAMES)
    assert [sum(each[name] for each in buckets.values()) for name in ("passages", "written", "embedded")] == [4, 4, 4]
    state = EmbedderRegistry(index).latest()
    assert (state.serving, state.previous) == (new, old)
    assert sorted(index.ids(embedder=new.name)) == sorted(index.ids(embedder=old.name))


def test_a_run_that_fails_half_way_leaves_the_old_one_serving_and_the_next_one_goes_on(
    streamed, settings, index, monkeypatch
):
    copy_bucket = swap.IndexCopier.copy_bucket

    def stop(self, bucket, *arguments):
        if bucket == "b09":
            raise swap.Unavailable("index: the server does not answer")
        return copy_bucket(self, bucket, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(swap.IndexCopier, "copy_bucket", stop)
        result = streamed(embedder=NEW, swap=False)
    assert not result.success
    assert "does not answer" in failure(result)
    done = observations(result)
    assert list(done) == list(BUCKET_NAMES[:9])
    assert EmbedderRegistry(index).latest().serving == resolve_space(settings)
    again = observations(streamed(embedder=NEW))
    written = sum(each["written"] for each in done.values())
    assert sum(each["written"] for each in again.values()) == 4 - written
    assert EmbedderRegistry(index).latest().serving == resolve_space(settings, NEW)


def test_an_unknown_model_fails_with_its_name_and_touches_nothing(run, index):
    before = EmbedderRegistry(index).latest()
    result = run(embedder="nobody")
    assert not result.success
    assert "no model 'nobody'" in failure(result)
    assert EmbedderRegistry(index).latest() == before
    assert "serves already" in failure(run(embedder="minilm"))


def test_without_a_stack_the_failure_names_the_remedy(run, monkeypatch):
    monkeypatch.delenv("MMPLATFORM_CHROMA_URL")
    assert "mmplatform up" in failure(run(embedder=NEW))


def test_the_job_is_in_the_location_and_no_two_runs_build_at_once():
    assert defs.resolve_job_def("swap_embedder").description == swap_embedder.description
    assert build_embedder_index.pool == "swap_embedder"
