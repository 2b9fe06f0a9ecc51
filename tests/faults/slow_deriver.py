"""A chat deriver in a process of its own, the product's shell over a deriver that says who it is, and that may dawdle.

``python -m tests.faults.slow_deriver DATA_DIR KAFKA PREFIX NAME SECONDS``
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from mmplatform.consumers.deriver import batch_app
from mmplatform.consumers.progress_reporter import ProgressReporter
from mmplatform.derive.chat import NO_SPANS, ChatDeriver
from mmplatform.derive.passages import DerivedBatch
from mmplatform.kafka.producer import LogProducer
from mmplatform.memo import MemoryMemo
from mmplatform.modalities import CHAT
from mmplatform.settings import load
from mmplatform.telemetry.status_server import WorkerStatus
from tests.doubles.embedder import SeededEmbedder
from tests.pipeline.paused_run import Plain

DERIVING = "deriving"


class Named(ChatDeriver):
    """Signs what it derives, and takes its time."""

    def __init__(self, name: str, seconds: float) -> None:
        super().__init__(SeededEmbedder(), Plain(), MemoryMemo())
        self._signature, self._seconds = name, seconds

    def derive(self, arrivals, joint_spans=NO_SPANS):
        print(DERIVING, flush=True)  # noqa: T201 - that is how the test hears of it
        time.sleep(self._seconds)
        signed = [
            each.model_copy(update={"text": f"{each.text}, said {self._signature}"})
            for each in super().derive(arrivals, joint_spans).artifacts
        ]
        return DerivedBatch(tuple(signed))


def main() -> None:
    data_dir, kafka, prefix, name, seconds = sys.argv[1:]
    settings = load(
        data_dir=Path(data_dir), kafka_bootstrap_servers=kafka, topic_prefix=prefix, worker_instance_id=name
    )
    producer = LogProducer(settings)
    reporter = ProgressReporter(settings, CHAT, producer)
    reporter.start()
    batch_app(settings, CHAT, Named(name, float(seconds)), producer, WorkerStatus("derive-chat"), reporter).run()


if __name__ == "__main__":
    main()
