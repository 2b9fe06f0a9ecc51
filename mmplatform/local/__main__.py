"""``python -m mmplatform.local [--derivers chat=1,…] [--no-dagster]``: the supervisor without a terminal.

Started by `mmplatform up --detach`, and to be run by a service manager (systemd, a container). It ends with exit code 0
on SIGTERM, and with 1 and one line on standard error when it cannot start.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmplatform.errors import PlatformError
from mmplatform.local.launch import dagster_location, run_stack
from mmplatform.local.services.services import StackOptions, parse_derivers
from mmplatform.local.status.views import NoView
from mmplatform.settings import load
from mmplatform.settings.private_files import use_private_umask


def main() -> None:
    """Run the stack until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m mmplatform.local")
    parser.add_argument("--derivers", default="", help="processes per modality, for example chat=1,call=2")
    parser.add_argument("--no-dagster", action="store_true", help="start neither the Dagster UI nor its daemon")
    arguments = parser.parse_args()
    use_private_umask()
    try:
        dagster, cwd = ((), None) if arguments.no_dagster else dagster_location(Path.cwd())
        run_stack(load(), StackOptions(parse_derivers(arguments.derivers), dagster, cwd), NoView())
    except PlatformError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
