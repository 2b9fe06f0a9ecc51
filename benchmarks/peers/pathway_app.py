"""Pathway: a program that follows the log, keeps its index in memory, and answers from it by a server of its own.

Runs in an environment of its own: ``python -m benchmarks.peers.pathway_app index|read FOLDER MODEL``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from benchmarks.peers.watch import POLL_S, Row, main

ALL = 1_000_000
"""More than there are: whatever is in the index is among so many nearest to anything."""

PATIENCE_S = 60.0


def port_of(folder: Path) -> Path:
    """File in which the indexer writes the port of its server."""
    return folder / "port"


def index(folder: Path, model: Path) -> None:
    """Follow the log for ever, and answer."""
    import socket

    from benchmarks.peers.pathway_graph import run

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    port_of(folder).write_text(str(port))
    run(folder, model, port)


def reader(folder: Path) -> Callable[[int], list[Row]]:
    """Rows that a process of its own gets from the server, from a number on."""

    def rows(since: int) -> list[Row]:
        body = json.dumps({"k": ALL, "metadata_filter": f"n >= `{since}`"}).encode()
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                found = _query(folder, body)
            except (OSError, HTTPException, ValueError):
                # It is not there yet, or was killed and comes back elsewhere: an index in memory is away as long.
                if time.monotonic() > deadline:
                    return []
                time.sleep(POLL_S)
            else:
                return [Row(hit["id"], hit["n"], hit["version"]) for hit in found]

    return rows


def _query(folder: Path, body: bytes) -> list[dict[str, Any]]:
    server = HTTPConnection("127.0.0.1", int(port_of(folder).read_text()), timeout=PATIENCE_S)
    with closing(server):
        server.request("POST", "/v1/retrieve", body, {"Content-Type": "application/json"})
        answer = server.getresponse()
        if answer.status != HTTPStatus.OK:
            raise ValueError(f"{answer.status}: {answer.read(200)!r}")
        found: list[dict[str, Any]] = json.load(answer)
        return found


if __name__ == "__main__":
    main(index, reader)
