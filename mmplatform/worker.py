"""One worker process: ``python -m mmplatform.worker NAME``, configured by ``MMPLATFORM_*`` variables alone.

A worker opens its stores and models, and waits for a store or broker that does not answer. ``/healthz`` answers 200
once it runs, ``/readyz`` while it can consume records. SIGTERM drains it: the last micro-batch is landed and committed.
A worker that cannot go on exits non-zero. Its supervisor (``mmplatform up``, in a cluster the scheduler) restarts it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential

from mmplatform.errors import Misconfigured, PlatformError, Unavailable
from mmplatform.events import Modality
from mmplatform.modalities import ARCHIVE_GROUP, ARTIFACTS_TOPIC, INDEX_GROUP, MODALITIES
from mmplatform.settings import Settings, load
from mmplatform.settings.private_files import restrict_data_dir, use_private_umask
from mmplatform.telemetry.logs import configure_logging, safe_error_fields
from mmplatform.telemetry.standby import wait_in_standby

if TYPE_CHECKING:
    from mmplatform.consumers.quix_app import WorkerApplication
    from mmplatform.lineage.landings import StreamLineage
    from mmplatform.telemetry.freshness import FreshnessTracker
    from mmplatform.telemetry.status_server import WorkerStatus

T = TypeVar("T")
_MAX_WAIT_S: Final = 30.0
_log = structlog.get_logger(__name__)
STOPPED: Final = "stopped"
"""Body of ``/healthz`` once the consumer is closed and everything is committed; only lineage events may be pending."""

LINEAGE_FLUSH_TIMEOUT_S: Final = 3.0
"""For the last lineage events. A supervisor kills after 15 s, in which the last batch has to land too."""


def main(arguments: list[str] | None = None) -> int:
    """Run one worker; the exit code is 0 after a clean stop, 1 after an error, 2 for a wrong call."""
    names = sys.argv[1:] if arguments is None else arguments
    if len(names) != 1 or names[0] not in WORKERS:
        sys.stderr.write(f"usage: python -m mmplatform.worker NAME, with NAME one of {', '.join(WORKERS)}\n")
        return 2
    use_private_umask()
    try:
        settings = load()
        configure_logging(settings, worker=names[0])
        restrict_data_dir(settings.data_dir)
        WORKERS[names[0]](settings)
    except PlatformError as error:
        _log.error("worker stops", error=type(error).__name__, reason=str(error))
        return 1
    except Exception as error:  # noqa: BLE001 - the last place that can log it
        # Message and traceback may quote customer text, and the last lines of this log are shown in the run file.
        _log.error("worker stops", **safe_error_fields(error))
        return 1
    return 0


def _retry_until_available(status: WorkerStatus, dependency: str, call: Callable[[], T]) -> T:
    """Retry while a store or the broker does not answer; meanwhile the worker is ``starting``.

    If it exited instead, its supervisor would restart it until it gave the worker up.
    """

    def report_wait(state: RetryCallState) -> None:
        reason = state.outcome.exception() if state.outcome else None
        _log.warning(f"waits for {dependency}", reason=str(reason), again_in_s=state.upcoming_sleep)
        status.readiness.block(dependency, str(reason))

    retrying = Retrying(
        retry=retry_if_exception_type(Unavailable), wait=wait_exponential(max=_MAX_WAIT_S), before_sleep=report_wait
    )
    result = retrying(call)
    status.readiness.unblock(dependency)
    return result


def _deriver_runner(modality: Modality) -> Callable[[Settings], None]:
    def run(settings: Settings) -> None:
        from mmplatform.consumers.deriver import batch_app, call_app
        from mmplatform.consumers.idle_calls import watch_idle_calls
        from mmplatform.consumers.progress_reporter import ProgressReporter
        from mmplatform.derive.call.deriver import CallDeriver
        from mmplatform.kafka.producer import LogProducer
        from mmplatform.land.blobs.open import open_blobs
        from mmplatform.pipeline import factories
        from mmplatform.pipeline.process import contract_limits, warm_up

        spec = MODALITIES[modality]
        status = _start_status(settings, f"derive-{modality}")
        memo, blobs = factories.open_memo(settings), open_blobs(settings)
        producer = LogProducer(settings)
        warm_up(spec, contract_limits(settings))
        deriver = factories.open_deriver(settings, modality, memo, blobs)
        reporter = ProgressReporter(settings, spec, producer)
        if isinstance(deriver, CallDeriver):
            app = _retry_until_available(
                status, "the log", lambda: call_app(settings, deriver, producer, status, reporter)
            )
            watch_idle_calls(settings, producer)
        else:
            app = _retry_until_available(
                status, "the log", lambda: batch_app(settings, spec, deriver, producer, status, reporter)
            )
        reporter.start()
        _run_app(app, settings, status, spec.group, (spec.topic,))
        reporter.close()
        producer.close()

    return run


def _run_indexer(settings: Settings) -> None:
    from mmplatform.consumers.indexer import index_app
    from mmplatform.kafka.producer import LogProducer
    from mmplatform.land.index.embedder_registry import EmbedderRegistry
    from mmplatform.land.index.release_check import check_release
    from mmplatform.land.index.store import ChromaIndex
    from mmplatform.pipeline.factories import open_dual_write_index, resolve_space
    from mmplatform.telemetry.freshness import FreshnessTracker

    status = _start_status(settings, "index", FreshnessTracker(has_tail=settings.tail_is_followed))
    producer = LogProducer(settings)
    index = ChromaIndex.open(settings)
    _retry_until_available(status, "the index", partial(check_release, index))
    log = EmbedderRegistry(index)
    space = None
    with suppress(Misconfigured):  # an indexer without the model at hand makes collections as passages come
        space = resolve_space(settings)
    if space is not None:
        for active in _retry_until_available(status, "the index", lambda: log.ensure_serving(space)).active:
            _retry_until_available(status, "the index", partial(index.create_collections, active.name))
    in_step = open_dual_write_index(settings, index, log)
    app = _retry_until_available(status, "the log", lambda: index_app(settings, in_step, producer, status))
    _run_app(app, settings, status, INDEX_GROUP, (ARTIFACTS_TOPIC,))
    producer.close()


def _run_archiver(settings: Settings) -> None:
    from mmplatform.consumers.archiver import TOPICS, archive_app, check_same_log
    from mmplatform.kafka.producer import LogProducer
    from mmplatform.kafka.reader import ReplayLog
    from mmplatform.land.lakehouse.store import Lakehouse

    status = _start_status(settings, "archive")
    lakehouse = _retry_until_available(status, "the lakehouse", lambda: Lakehouse.open(settings))
    producer = LogProducer(settings)
    replay_log = ReplayLog(settings)
    with _lineage(settings, status) as lineage:
        app = _retry_until_available(
            status, "the lakehouse and the log", lambda: archive_app(settings, lakehouse, producer, status, lineage)
        )
        _retry_until_available(
            status, "the lakehouse and the log", lambda: check_same_log(lakehouse, replay_log, settings)
        )
        _run_app(app, settings, status, ARCHIVE_GROUP, TOPICS)
    producer.close()


@contextmanager
def _lineage(settings: Settings, status: WorkerStatus) -> Iterator[StreamLineage | None]:
    """Lineage of the worker's run, from its start to its end; ``None`` when lineage is off."""
    if not settings.sends_lineage:
        yield None
        return
    from importlib.metadata import version

    from mmplatform.kafka.connection import client_config
    from mmplatform.land.lakehouse.schemas import SPECS
    from mmplatform.lineage.backends import open_backend
    from mmplatform.lineage.emitter import LineageEmitter
    from mmplatform.lineage.landings import StreamLineage

    emitter = LineageEmitter(open_backend(settings, client_config))
    status.watch_lineage(emitter.counts)
    columns = {name: spec.columns for name, spec in SPECS.items()}
    lineage = StreamLineage(settings, columns, emitter, engine=version("quixstreams"))
    lineage.begin()
    try:
        yield lineage
    except BaseException as error:
        lineage.end(error)
        raise
    else:
        lineage.end()
    finally:
        emitter.close(LINEAGE_FLUSH_TIMEOUT_S)


def _run_gateway(settings: Settings) -> None:
    from mmplatform.gateway.app import INITIAL_OBSTACLES, serve
    from mmplatform.telemetry.readiness import Readiness

    # The gateway creates the topics itself once the broker answers. Until then it answers 503 and goes on.
    status = _start_status(settings, "gateway", topics=False)
    status.readiness = Readiness(INITIAL_OBSTACLES)
    serve(settings, on_ready=lambda: setattr(status, "state", "running"), readiness=status.readiness)


def _run_canaries(settings: Settings) -> None:
    from mmplatform.pipeline.canary.worker import run_worker

    status = _start_status(settings, "canary", topics=False)
    run_worker(settings, status)
    status.state = STOPPED


def _prepare_stores(settings: Settings) -> None:
    """A job, not a worker: create the topics, tables and collections of all workers, then exit. Idempotent."""
    from mmplatform.kafka.topics import ensure_topics
    from mmplatform.land.index.embedder_registry import EmbedderRegistry
    from mmplatform.land.index.release_check import check_release
    from mmplatform.land.index.store import ChromaIndex
    from mmplatform.land.lakehouse.store import Lakehouse
    from mmplatform.pipeline.factories import resolve_space
    from mmplatform.telemetry.status_server import WorkerStatus

    status = WorkerStatus("prepare")
    topics = _retry_until_available(status, "the log", lambda: ensure_topics(settings))
    for mismatch in topics.mismatches:
        _log.warning("topic differs from the settings", mismatch=mismatch)
    _retry_until_available(status, "the lakehouse", lambda: Lakehouse.open(settings).ensure_tables())
    index = ChromaIndex.open(settings)
    try:
        _retry_until_available(status, "the index", partial(check_release, index))
        for active in _retry_until_available(
            status, "the index", lambda: EmbedderRegistry(index).ensure_serving(resolve_space(settings))
        ).active:
            _retry_until_available(status, "the index", partial(index.create_collections, active.name))
    finally:
        index.close()
    _log.info("prepared", topics_created=len(topics.created), topics_existing=len(topics.existing))


def _start_status(
    settings: Settings, name: str, freshness: FreshnessTracker | None = None, *, topics: bool = True
) -> WorkerStatus:
    """Serve the status page first: while models load, ``/healthz`` answers 503, and ``/readyz`` gives the reason."""
    from mmplatform.kafka.topics import ensure_topics
    from mmplatform.telemetry.readiness import BROKER
    from mmplatform.telemetry.status_server import WorkerStatus, serve_status

    # The name that the supervisor uses keeps the figures of two derivers of a modality apart.
    number = settings.worker_instance_id.rpartition("-")[2]
    status = WorkerStatus(name if number == "0" else f"{name}-{number}", freshness=freshness)
    serve_status(status, settings.metrics_port, settings.metrics_host)
    if topics:
        for mismatch in _retry_until_available(status, "the log", lambda: ensure_topics(settings)).mismatches:
            _log.warning("topic differs from the settings", mismatch=mismatch)
        status.readiness.unblock(BROKER)
    return status


def _run_app(
    app: WorkerApplication, settings: Settings, status: WorkerStatus, group: str, topics: tuple[str, ...]
) -> None:
    from mmplatform.consumers.quix_app import check_partition_count
    from mmplatform.kafka.reader import ReplayLog
    from mmplatform.kafka.topics import topic_name
    from mmplatform.telemetry.readiness import MODELS

    replay_log = ReplayLog(settings)
    names = [topic_name(settings, topic) for topic in topics]

    def total_lag() -> int:
        lag_by_topic = replay_log.lag(f"{settings.topic_prefix}{group}", names)
        return sum(sum(by_number.values()) for by_number in lag_by_topic.values())

    status.watch_lag(total_lag)
    status.readiness.unblock(MODELS)
    if settings.standby:
        wait_in_standby(status)
        check_partition_count(app, settings, topics)
    status.state = "running"
    # A loop that hangs before its first poll counts as hung.
    status.readiness.heartbeat(settings.kafka_max_poll_interval_s)
    _log.info("ready")
    app.run()
    status.state = STOPPED
    status.close()
    _log.info("stopped")


WORKERS: Final[dict[str, Callable[[Settings], None]]] = {
    "gateway": _run_gateway,
    **{f"derive-{modality}": _deriver_runner(modality) for modality in MODALITIES},
    "index": _run_indexer,
    "archive": _run_archiver,
    "canary": _run_canaries,
    "prepare": _prepare_stores,
}

if __name__ == "__main__":
    sys.exit(main())
