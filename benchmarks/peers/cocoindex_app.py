"""CocoIndex in live mode from a folder with a file for each chat into LanceDB, as its own example has it.

Runs in an environment of its own: ``python -m benchmarks.peers.cocoindex_app index|read FOLDER MODEL``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from benchmarks.peers.arrivals import files_of
from benchmarks.peers.lancedb_loop import reader
from benchmarks.peers.minilm import MiniLM
from benchmarks.peers.watch import main


def index(folder: Path, model: Path) -> None:
    """Follow the folder for ever."""
    import cocoindex as coco
    from cocoindex.connectors import lancedb, localfs
    from cocoindex.resources.schema import VectorSchema

    database: Any = coco.ContextKey[Any]("lance")
    embedder = MiniLM(model)
    shape = VectorSchema(dtype=np.dtype(np.float32), size=384)

    @dataclass
    class Chat:
        id: str
        n: int
        version: int
        text: str
        vector: Annotated[npt.NDArray[np.float32], shape]

    # The library finds the row's types by name, in the module.
    globals().update(Chat=Chat, shape=shape)

    @coco.lifespan  # type: ignore[untyped-decorator]
    async def _lifespan(builder: Any) -> AsyncIterator[None]:
        builder.settings.db_path = folder / "cocoindex"
        builder.provide(database, await lancedb.connect_async(str(folder / "lance")))
        yield

    @coco.fn(memo=True)  # type: ignore[untyped-decorator]
    async def index_file(file: Any, table: Any) -> None:
        chat = json.loads(await file.read_text())
        [vector] = await asyncio.to_thread(embedder.embed, [chat["text"]])
        table.declare_row(row=Chat(chat["id"], chat["n"], chat["version"], chat["text"], vector))

    @coco.fn  # type: ignore[untyped-decorator]
    async def everything(source: Path) -> None:
        schema = await lancedb.TableSchema.from_class(Chat, primary_key=["id"])
        table = await lancedb.mount_table_target(database, "chats", schema)
        await coco.mount_each(index_file, localfs.walk_dir(source, live=True).items(), table)

    app = coco.App(coco.AppConfig(name="chats"), everything, source=files_of(folder))
    app.update_blocking(live=True)


if __name__ == "__main__":
    main(index, reader)
