import socket
import subprocess
import sys

import pytest

from mmplatform.errors import Unavailable
from mmplatform.local.services import port_leases
from mmplatform.local.services.port_leases import PortLeases, any_free_port, is_free


@pytest.fixture
def leases(tmp_path):
    with PortLeases(tmp_path) as leases:
        yield leases


def test_the_preferred_port_is_leased_when_it_is_free(leases):
    port = any_free_port()
    assert leases.lease(port) == port


def test_the_next_port_is_leased_when_the_preferred_one_is_in_use(leases):
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        port = leases.lease(taken)
    assert taken < port < taken + 300


def test_zero_means_any_port(leases):
    port = leases.lease(0)
    assert port > 0
    assert is_free(port)


def test_no_port_is_leased_twice(leases):
    port = any_free_port()
    assert len({leases.lease(port) for _ in range(5)}) == 5


def test_a_port_that_another_stack_picked_but_does_not_use_yet_is_passed_over(leases, tmp_path):
    port = leases.lease(any_free_port())
    with PortLeases(tmp_path) as other:
        assert other.lease(port) != port


def test_a_released_port_can_be_leased_again(leases, tmp_path):
    port = leases.lease(any_free_port())
    leases.release()
    with PortLeases(tmp_path) as other:
        assert other.lease(port) == port


def test_the_leases_of_a_killed_process_end(leases, tmp_path):
    port = any_free_port()
    code = (
        "import sys, time, pathlib; from mmplatform.local.services.port_leases import PortLeases\n"
        f"c = PortLeases(pathlib.Path({str(tmp_path)!r})); print(c.lease({port}), flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) == port
        assert leases.lease(port) != port
        process.kill()
    assert leases.lease(port) == port


def test_the_error_without_a_free_port_names_the_address(leases, monkeypatch):
    monkeypatch.setattr(port_leases, "is_free", lambda _port, _host: False)
    with pytest.raises(Unavailable, match=r"no free port on 127\.0\.0\.1 near 8080"):
        leases.lease(8080)


def test_a_lease_that_cannot_be_locked_is_named_and_no_other_port_is_picked(leases, tmp_path):
    port = any_free_port()
    (tmp_path / str(port)).mkdir()
    with pytest.raises(Unavailable, match=f"cannot lock {tmp_path / str(port)}: "):
        leases.lease(port)
