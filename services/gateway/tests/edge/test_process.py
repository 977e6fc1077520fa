"""Proves the gateway as a process: it starts from its environment, finishes what is in flight on SIGTERM, and ends."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator

import pytest_asyncio

from ledgerlink_gateway.testing import RawUpstream, ask, raw, raw_upstream, read_reply, request

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest_asyncio.fixture
async def upstream() -> AsyncGenerator[RawUpstream]:
    async with raw_upstream() as server:
        yield server


async def _start(upstream: RawUpstream, port: int, **more: str) -> asyncio.subprocess.Process:
    names = ("IDENTITY", "WALLET", "PAYMENTS", "RISK")
    environment = {
        **os.environ,
        "GATEWAY_ENVIRONMENT": "test",
        "GATEWAY_PORT": str(port),
        "GATEWAY_REDIS_URL": "redis://127.0.0.1:1/0",
        **{f"GATEWAY_{name}_URL": upstream.url for name in names},
        **more,
    }
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ledgerlink_gateway.app", env=environment, stdout=asyncio.subprocess.PIPE
    )


async def _until_up(port: int) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await ask(port, request("GET", "/healthz"))
            except OSError:
                await asyncio.sleep(0.05)
            else:
                return


async def test_sigterm_lets_the_request_in_flight_finish_and_takes_no_other(upstream: RawUpstream) -> None:
    port = _free_port()
    process = await _start(upstream, port)
    try:
        await _until_up(port)
        upstream.asked.clear()
        upstream.answers = [raw(OK, wait_s=1.0)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("GET", "/.well-known/jwks.json"))
        await upstream.asked.wait()
        process.send_signal(signal.SIGTERM)
        assert await idle_reader.read() == b""
        idle_writer.close()
        refused = False
        try:
            await ask(port, request("GET", "/healthz"), timeout_s=2)
        except (OSError, asyncio.IncompleteReadError):
            refused = True
        assert refused
        reply = await read_reply(reader)
        assert (reply.status, reply.body, reply.header("connection")) == (200, b"done", "close")
        writer.close()
        output, _ = await asyncio.wait_for(process.communicate(), 10)
        assert b'"route":"well-known"' in output
        assert process.returncode in (0, -signal.SIGTERM)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_wrong_setting_stops_the_start_with_its_name(upstream: RawUpstream) -> None:
    process = await _start(upstream, _free_port(), GATEWAY_TRUSTED_PROXIES="10.0.0.0/99")
    process_output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    assert process_output == b""
