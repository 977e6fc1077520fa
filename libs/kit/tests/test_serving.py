"""Proves that a served app is told at once that it is to stop, so that an answer without an end of its own ends, and
that a worker waits only so long for a task that does not listen.
"""

import asyncio
import signal
import socket
import sys
import textwrap
from pathlib import Path

import httpx

from ledgerlink_kit.http_app import _work
from ledgerlink_kit.settings import ServiceSettings

ENDLESS = textwrap.dedent(
    """
    import asyncio, sys
    from fastapi import APIRouter, Request
    from fastapi.responses import StreamingResponse
    from ledgerlink_kit.http_app import create_app, serve
    from ledgerlink_kit.settings import ServiceSettings

    router = APIRouter()

    @router.get("/endless")
    async def endless(request: Request) -> StreamingResponse:
        async def beats():
            while not request.app.state.stopping.is_set():
                yield "beat\\n"
                await asyncio.sleep(0.05)
            yield "the end\\n"
        return StreamingResponse(beats(), media_type="text/plain")

    settings = ServiceSettings(environment="test", port=int(sys.argv[1]))
    serve(
        lambda: create_app(
            title="Endless", version="1", settings=settings, routers=[router], verifier=None, readiness={}, runtime=None
        ),
        settings,
        "endless",
    )
    """
)


async def test_an_answer_without_an_end_ends_when_the_server_is_asked_to_stop(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    script = tmp_path / "endless.py"
    await asyncio.to_thread(script.write_text, ENDLESS)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), str(port), stdout=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(60), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            while True:
                try:
                    await client.get("/healthz")
                except httpx.ConnectError:
                    await asyncio.sleep(0.05)
                else:
                    break
            heard = ""
            async with client.stream("GET", "/endless") as answer:
                async for piece in answer.aiter_text():
                    if not heard:
                        process.send_signal(signal.SIGTERM)
                    heard += piece
        # uvicorn raises the signal once more after its own end, so that whoever started it sees why it ended.
        assert await asyncio.wait_for(process.wait(), 10) in {0, -signal.SIGTERM}
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    assert heard.startswith("beat\n")
    assert heard.endswith("the end\n")


async def test_a_task_that_does_not_listen_is_cut_short_and_the_worker_closes_what_it_has() -> None:
    done: list[str] = []

    async def audits(_stop: asyncio.Event) -> None:
        try:
            await asyncio.sleep(600)
        finally:
            done.append("cut short")

    async def ends(_stop: asyncio.Event) -> None:
        await asyncio.sleep(0)

    async def close() -> None:
        done.append("closed")

    tasks = {"audits": audits, "ends": ends}
    code = await asyncio.wait_for(_work(ServiceSettings(environment="test"), tasks, {}, close, drain_s=0.1), 20)

    assert (code, done) == (1, ["cut short", "closed"])
