"""What a driver weighs: `python -m bench.drivers.weight DRIVER URL` prints the MiB that it adds to an empty process.

The process has an event loop; then the driver is loaded, connects, and runs one statement.
"""

import asyncio
import sys

import psutil
import uvloop


async def main(driver: str, url: str) -> None:
    """Measure, and print."""
    before = psutil.Process().memory_info().rss
    await asyncio.sleep(0)
    if driver == "asyncpg":
        import asyncpg  # noqa: PLC0415 - what is loaded here is what is measured

        connection = await asyncpg.connect(url)
        assert await connection.fetchval("SELECT $1::int", 1) == 1
        weight = psutil.Process().memory_info().rss - before
        await connection.close()
    else:
        import psycopg  # noqa: PLC0415 - the same

        opened = await psycopg.AsyncConnection.connect(url, autocommit=True, prepare_threshold=0)
        assert await (await opened.execute("SELECT %s::int", (1,), binary=True)).fetchone() == (1,)
        weight = psutil.Process().memory_info().rss - before
        await opened.close()
    print(round(weight / 2**20, 1))


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
