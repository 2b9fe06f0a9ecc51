"""The rows of the table that start foreign programs, run for real."""

import asyncio

import pytest

from mmplatform.local.services.port_leases import any_free_port
from mmplatform.local.services.probes import local_client
from mmplatform.local.services.services import Service, StackOptions, plan_stack
from mmplatform.local.supervisor import processes
from mmplatform.settings import Settings


def row(name: str, tmp_path) -> Service:
    settings = Settings(data_dir=tmp_path, kafka_bootstrap_servers="", chroma_url="")
    stack = plan_stack(settings, StackOptions(), lambda _port, _host: any_free_port())
    return next(service for service in stack.services if service.name == name)


@pytest.mark.broker
@pytest.mark.parametrize("name", ["broker", "chroma"])
async def test_an_embedded_server_gets_ready_keeps_its_files_under_the_data_directory_and_stops_when_asked(
    name, tmp_path
):
    service = row(name, tmp_path)
    process = processes.spawn(
        service.command, environment=service.environment, log=tmp_path / "log", pipe_stdin=service.pipe_stdin
    )
    try:
        async with local_client() as client, asyncio.timeout(30):
            while not await service.probe.ready(client):
                assert process.poll() is None, (tmp_path / "log").read_text()
                await asyncio.sleep(0.1)
        assert (tmp_path / name).is_dir()
        process.terminate()
        async with asyncio.timeout(service.grace_s):
            while process.poll() is None:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        assert process.returncode in {0, -15}  # Chroma installs its handler late: either way it ended when asked
    finally:
        processes.kill_group(process.pid)
        processes.collect_exit(process)
