"""``python -m benchmarks.faults.supervise BOARD [DERIVERS]``: the usual stack, whose processes look at the board.

It is ``python -m mmplatform.local --no-dagster`` but for two things: each command is started by
:mod:`benchmarks.faults.process`, and the supervisor gives nobody up, for here the deaths are not the process's fault.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

from mmplatform.local.launch import run_stack
from mmplatform.local.services.port_leases import PortLeases
from mmplatform.local.services.services import Service, StackOptions, parse_derivers, plan_stack
from mmplatform.local.status.views import NoView
from mmplatform.local.supervisor.restart_policy import RestartPolicy
from mmplatform.settings import load

PATIENT: Final = RestartPolicy(max_delay_s=2.0, max_exits=1_000, max_consecutive_exits=1_000)


def main() -> None:
    settings, board = load(), Path(sys.argv[1])
    options = StackOptions(parse_derivers("".join(sys.argv[2:])))
    with PortLeases() as claims:
        table = plan_stack(settings, options, claims.lease)
        services = tuple(breakable(service, board) for service in table.services)
        run_stack(settings, options, NoView(), stack=replace(table, services=services), policy=PATIENT)


def breakable(service: Service, board: Path) -> Service:
    command = (sys.executable, "-m", "benchmarks.faults.process", str(board), service.name, *service.command)
    return replace(service, command=command)


if __name__ == "__main__":
    main()
