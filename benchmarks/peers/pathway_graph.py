"""The graph that Pathway keeps up to date: the log, a vector for each chat, an index in memory, a server of queries."""

from pathlib import Path
from typing import Any

import numpy as np
import pathway as pw

from benchmarks.peers.arrivals import BATCH, follow
from benchmarks.peers.minilm import MiniLM

COMMIT_MS = 50
"""Between two commits of what was read, as Pathway's own servers have it; its default is 1,500."""

BACKLOG = BATCH
"""Most rows on their way at once: a query waits for all that was read before it, which may be a whole burst."""

_SIZE = 384


class Chat(pw.Schema):  # type: ignore[misc]
    """Rows to index; a later row with the same name replaces an earlier one."""

    name: str = pw.column_definition(primary_key=True)
    text: str
    facts: pw.Json


class Query(pw.Schema):  # type: ignore[misc]
    """As Pathway's own document server has it, but without a text: the reader wants all, and looks for nothing."""

    k: int
    metadata_filter: str


class Log(pw.io.python.ConnectorSubject):  # type: ignore[misc]
    """The log from where the persisted input ends, as Pathway tells it after a restart."""

    def __init__(self, folder: Path) -> None:
        super().__init__(session_type="upsert")
        self._folder = folder
        self._offset = 0

    def _seek(self, state: bytes) -> None:
        self._offset = int(state)

    def run(self) -> None:
        """Follow the log for ever."""
        for changes, offset in follow(self._folder, offset=self._offset):
            for change in changes:
                send = self.delete if change["deleted"] else self.next
                facts = {name: change[name] for name in ("id", "n", "version")}
                send(name=change["id"], text=change["text"], facts=pw.Json(facts))
            self._report_offset(str(offset).encode())


@pw.udf  # type: ignore[untyped-decorator]
def _anywhere(_: int) -> np.ndarray:
    return np.full(_SIZE, _SIZE**-0.5, np.float32)


@pw.udf  # type: ignore[untyped-decorator]
def _listed(facts: list[pw.Json] | None) -> pw.Json:
    return pw.Json([fact.value for fact in facts or ()])


def run(folder: Path, model: Path, port: int) -> None:
    """Build the graph and run it for ever."""
    _answer(_indexed(folder, MiniLM(model)), port)
    # In this mode only an input with a name is persisted: by default each query is too, and answered again after a
    # restart. A mode that keeps the index itself wants a licence key.
    persistence = pw.persistence.Config(
        pw.persistence.Backend.filesystem(folder / "pathway"), persistence_mode=pw.PersistenceMode.SELECTIVE_PERSISTING
    )
    pw.run(monitoring_level=pw.MonitoringLevel.NONE, persistence_config=persistence)


def _indexed(folder: Path, embedder: MiniLM) -> Any:
    # Pathway's cache of a function's results would spare a restart the vectors of what was persisted; it made the chats
    # wait for the disk, each by itself, and knows of batches only whole ones.
    @pw.udf(max_batch_size=BATCH)  # type: ignore[untyped-decorator]
    def minilm(texts: list[str]) -> list[np.ndarray]:
        return list(embedder.embed(texts))

    chats = pw.io.python.read(
        Log(folder), schema=Chat, name="chats", autocommit_duration_ms=COMMIT_MS, max_backlog_size=BACKLOG
    ).with_columns(vector=minilm(pw.this.text))
    factory = pw.indexing.BruteForceKnnFactory(dimensions=_SIZE)
    return factory.build_index(chats.vector, chats, metadata_column=chats.facts)


def _answer(index: Any, port: int) -> None:
    queries, answer = pw.io.http.rest_connector(
        webserver=pw.io.http.PathwayWebserver(host="127.0.0.1", port=port),
        route="/v1/retrieve",
        schema=Query,
        autocommit_duration_ms=COMMIT_MS,
        delete_completed_queries=False,
    )
    queries = queries.with_columns(vector=_anywhere(pw.this.k))
    found = index.query_as_of_now(queries.vector, number_of_matches=queries.k, metadata_filter=queries.metadata_filter)
    answer(found.select(result=_listed(pw.right.facts)))
