"""`python -m mmplatform.local.broker --data DIR`: the embedded broker in the foreground."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
from pathlib import Path

# Optional imports of dependencies, unused here; they take 0.5 s where they are installed.
for _unused in ("hypothesis", "rich"):
    sys.modules.setdefault(_unused, None)  # type: ignore[arg-type]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mmplatform.local.broker", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the directory that this broker owns")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (default: %(default)s)")
    parser.add_argument("--port", type=int, default=9092, help="0 takes a free port (default: %(default)s)")
    parser.add_argument("--port-file", type=Path, help="write the port here once the broker is ready")
    parser.add_argument("--exit-with-stdin", action="store_true", help="end when standard input closes")
    parser.add_argument("--auto-create-topics", action="store_true", help="create topics that clients ask for")
    parser.add_argument("--default-partitions", type=int, default=1, help="for topics that do not say how many")
    parser.add_argument(
        "--initial-rebalance-delay",
        type=float,
        default=0.1,
        metavar="S",
        help="how long a new group waits for more members (default: %(default)s s)",
    )
    parser.add_argument(
        "--cleanup-interval",
        type=float,
        default=5.0,
        metavar="S",
        help="how often retention and compaction run (default: %(default)s s)",
    )
    return parser.parse_args()


def main() -> int:
    """Run one broker; the exit code is 0 after a clean end, 2 when it could not start."""
    arguments = _arguments()
    os.umask(0o077)  # started alone, too, its log segments are private
    # Imports create thousands of message classes, none of which is garbage: the collector never scans them.
    gc.disable()
    from mmplatform.local.broker.logs import configure
    from mmplatform.local.broker.options import BrokerOptions
    from mmplatform.local.broker.process import CannotStart, serve

    gc.freeze()
    gc.enable()
    configure()
    options = BrokerOptions(
        data=arguments.data,
        host=arguments.host,
        port=arguments.port,
        port_file=arguments.port_file,
        exit_with_stdin=arguments.exit_with_stdin,
        auto_create_topics=arguments.auto_create_topics,
        default_partitions=arguments.default_partitions,
        initial_rebalance_delay_s=arguments.initial_rebalance_delay,
        cleanup_interval_s=arguments.cleanup_interval,
    )
    try:
        asyncio.run(serve(options))
    except CannotStart as error:
        print(f"broker: {error}", file=sys.stderr)  # noqa: T201 - the command line's answer
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
