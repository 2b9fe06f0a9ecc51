"""The same chats with the same MiniLM weights until each is retrievable, here and in what others would build it with.

    python -m benchmarks.peers [--chats 10000] [--seconds 30] [--only mmplatform,"chroma loop"]

Throughput: all chats are acknowledged at once; until a separate reader has got the last. Gap: open loop, at a rate,
from the moment a chat was due until the reader got it. Edits and deletes: until the reader has the new texts, and what
is there then. Kill: SIGKILL for the indexing processes when 60% is there, and what is there once they are back.

Each peer has an environment of its own, which is made here, of pinned versions. The product does more with a chat than
they do: it redacts, keeps it in a log and a lakehouse, and serves it; the peers embed and store.
"""

from __future__ import annotations

import argparse

from benchmarks.machine import describe
from benchmarks.peers import others, ours
from benchmarks.peers.environments import PEERS, NotHere
from benchmarks.peers.outcome import HEAD, Outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chats", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=30, help="of each rate; 0: no rates")
    parser.add_argument("--seed", type=int, default=20260801)
    parser.add_argument("--only", default=",".join(("mmplatform", *PEERS)))
    arguments = parser.parse_args()
    rates = [20, 100] if arguments.seconds else []
    print(f"machine: {describe()}", flush=True)
    found: list[Outcome] = []
    for name in arguments.only.split(","):
        try:
            if name == "mmplatform":
                found.append(ours.measure(arguments.chats, rates, arguments.seconds, arguments.seed))
            else:
                found.append(others.measure(PEERS[name], arguments.chats, rates, arguments.seconds, arguments.seed))
        except NotHere as reason:
            found.append(Outcome(name, "", arguments.chats, trouble=f"cannot be installed here: {reason}"))
        print(f"{found[-1].settings}\n{found[-1].row()}", flush=True)
    print(f"machine: {describe()}, {arguments.chats} chats\n{HEAD}")
    print("\n".join(outcome.row() for outcome in found))


if __name__ == "__main__":
    main()
