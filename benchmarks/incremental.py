"""1% edits and 1% deletes in an index of 100,000 passages, against rebuilding that index.

    python -m benchmarks.incremental [--passages 100000]

Both go the product's way: the chat deriver with its redactor and embedder, and the index on a Chroma server of its own.
Incremental: the edited chats are derived again and replace what they were, the deleted ones' passages are taken out.
Rebuilt: all that is left is derived and written into an empty index; once with a memo that has all of it (a lost
index), and once with an empty memo (the cost without any cache). Model calls are texts that a model was given; bytes
are what the server wrote to its disk.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.efficiency import running
from benchmarks.load import chat_texts
from benchmarks.machine import describe
from benchmarks.reprocess import wait_for_answer
from mmplatform.artifacts import Passage, artifact_id
from mmplatform.derive.chat import ChatDeriver
from mmplatform.events import Arrival, ChatMessage, Position, utc_now
from mmplatform.land.index.store import ChromaIndex
from mmplatform.local.services.port_leases import any_free_port
from mmplatform.memo import SqliteMemo
from mmplatform.pipeline.factories import open_embedder, open_redactor
from mmplatform.ports import Memo
from mmplatform.settings import Settings, load

BATCH: Final = 256


class Counting:
    """A model that counts the texts that it is given."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.texts = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def embed(self, texts: Sequence[str]) -> Any:
        """As the model does."""
        self.texts += len(texts)
        return self._model.embed(texts)

    def redact(self, texts: Sequence[str], **options: Any) -> Any:
        """As the model does."""
        self.texts += len(texts)
        return self._model.redact(texts, **options)


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one step."""

    seconds: float
    embedded: int
    redacted: int
    written_mb: float

    def row(self, what: str, passages: int) -> str:
        """A line of the table."""
        return (
            f"| {what} | {passages} | {self.seconds:.1f} | {self.embedded} | {self.redacted} | {self.written_mb:.1f} |"
        )


class Side:
    """An index on a server of its own, and the models in front of it."""

    def __init__(self, settings: Settings, server: int) -> None:
        self.index = ChromaIndex.open(settings)
        self._server = psutil.Process(server)
        self._embedder = Counting(open_embedder(settings))
        self._redactor = Counting(open_redactor(settings))

    @contextmanager
    def counted(self, costs: list[Cost]) -> Iterator[None]:
        """Append what the block takes."""
        before = self._embedder.texts, self._redactor.texts, self._written()
        started = time.perf_counter()
        yield
        elapsed_s = time.perf_counter() - started
        written = (self._written() - before[2]) / 2**20
        costs.append(Cost(elapsed_s, self._embedder.texts - before[0], self._redactor.texts - before[1], written))

    def put(self, chats: Sequence[ChatMessage], memo: Memo) -> None:
        """Derive and write."""
        deriver = ChatDeriver(self._embedder, self._redactor, memo)
        for first in range(0, len(chats), BATCH):
            part = chats[first : first + BATCH]
            arrivals = [Arrival(chat, Position(topic="bench", topic_partition=0, offset=0)) for chat in part]
            found = [artifact for artifact in deriver.derive(arrivals).artifacts if isinstance(artifact, Passage)]
            self.index.upsert(found, utc_now())

    def _written(self) -> int:
        return int(self._server.io_counters().write_bytes)


@contextmanager
def chroma_server(folder: Path) -> Iterator[tuple[Settings, int]]:
    """A server with its files in the folder: the settings that name it, and its process."""
    port = any_free_port()
    settings = load(data_dir=folder, chroma_url=f"http://127.0.0.1:{port}")
    command = [sys.executable, "-m", "mmplatform.local.services.chroma_server", "--path", str(folder / "chroma")]
    with running([*command, "--host", "127.0.0.1", "--port", str(port)], settings) as server:
        wait_for_answer(f"{settings.chroma_url}/api/v2/heartbeat")
        yield settings, server.pid


@contextmanager
def side(folder: Path) -> Iterator[Side]:
    """Started, warm and empty."""
    folder.mkdir()
    with chroma_server(folder) as (settings, server):
        result = Side(settings, server)
        with closing(result.index):
            yield result


def chat(number: int, text: str) -> ChatMessage:
    """One of 200 customers'."""
    return ChatMessage(
        event_id=f"chat-{number}",
        conversation_id=f"conversation-{number % 200}",
        subject_id=f"customer-{number % 200}",
        event_time=utc_now(),
        ingested_at=utc_now(),
        role="customer",
        text=text,
    )


def passage_of(message: ChatMessage) -> str:
    """These chats are short: each is one passage."""
    return artifact_id("passage", artifact_id("message", message.uid, 0), 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=20260801)
    arguments = parser.parse_args()
    chooser, corpus = random.Random(arguments.seed), chat_texts()
    chats = {n: chat(n, f"{chooser.choice(corpus)} (ticket {n})") for n in range(arguments.passages)}
    chosen = chooser.sample(range(arguments.passages), 2 * max(1, arguments.passages // 100))
    edited, deleted = chosen[::2], chosen[1::2]
    changed = [chat(n, f"{chats[n].text} It works now.") for n in edited]
    left = [message for n, message in chats.items() if n not in {*edited, *deleted}] + changed
    print(f"machine: {describe()}", flush=True)
    costs: list[Cost] = []
    with tempfile.TemporaryDirectory() as name, closing(SqliteMemo(Path(name) / "memo.sqlite")) as memo:
        with side(Path(name) / "kept") as incremental:
            incremental.put(list(chats.values()), memo)
            with incremental.counted(costs):
                incremental.put(changed, memo)
                incremental.index.delete([passage_of(chats[n]) for n in deleted])
            present = set(incremental.index.ids())
        for number, knowing in enumerate((memo, SqliteMemo(Path(name) / "empty.sqlite"))):
            with side(Path(name) / f"rebuilt-{number}") as rebuilt:
                with rebuilt.counted(costs):
                    rebuilt.put(left, knowing)
                assert set(rebuilt.index.ids()) == present == {passage_of(message) for message in left}
    print("| what | passages | seconds | texts embedded | texts redacted | MB written |\n|---|---|---|---|---|---|")
    for what, count, cost in zip(
        ("1% edited, 1% deleted", "rebuilt, everything in the memo", "rebuilt, an empty memo"),
        (len(chosen), len(left), len(left)),
        costs,
        strict=True,
    ):
        print(cost.row(what, count))
    factors = [cost.seconds / costs[0].seconds for cost in costs[1:]]
    print(f"rebuilt / incremental: {factors[0]:.0f} and {factors[1]:.0f}")


if __name__ == "__main__":
    main()
