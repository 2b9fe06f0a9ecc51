"""The gateway's socket: answers leave at once, and a port that cannot be had is named."""

import asyncio
import socket

import pytest

from mmplatform.errors import Unavailable
from mmplatform.gateway.listener import listen


@pytest.mark.parametrize("reuse_port", [False, True])
async def test_an_accepted_connection_sends_without_delay(reuse_port):
    """The event loop sets it by the socket's protocol number: with 0, answers waited 40 ms for an acknowledgement."""
    no_delay = asyncio.get_running_loop().create_future()

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted = writer.get_extra_info("socket")
        no_delay.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    with listen("127.0.0.1", 0, reuse_port=reuse_port) as listener:
        assert listener.proto == socket.IPPROTO_TCP
        async with await asyncio.start_server(accept, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            assert await asyncio.wait_for(no_delay, 10)
            writer.close()


def test_a_port_in_use_is_named():
    with listen("127.0.0.1", 0, reuse_port=False) as first:
        port = first.getsockname()[1]
        with pytest.raises(Unavailable, match=rf"127\.0\.0\.1:{port} .*MMPLATFORM_GATEWAY"):
            listen("127.0.0.1", port, reuse_port=False)


def test_a_shared_port_has_several_sockets():
    with listen("127.0.0.1", 0, reuse_port=True) as first:
        port = first.getsockname()[1]
        with listen("127.0.0.1", port, reuse_port=True) as second:
            assert second.getsockname()[1] == port
