"""A plain asyncio script: after each step of each item, one INSERT and its commit."""

import asyncio
import json
from typing import Any

from psycopg_pool import AsyncConnectionPool

from bench import work

CONNECTIONS = 20


async def main() -> None:
    """Do one share."""
    share = work.share()
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        share.dsn, min_size=CONNECTIONS, max_size=CONNECTIONS, open=False,
        kwargs={"autocommit": True},
    )  # fmt: skip
    async with pool:
        await pool.wait()

        async def item(number: int) -> None:
            for step in work.STEPS:
                if step == "validate":
                    await work.review()
                output = json.dumps(work.answer(step, number))
                async with pool.connection() as connection:
                    await connection.execute(
                        "INSERT INTO done VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                        (number, step, output),
                    )

        await asyncio.to_thread(work.wait_for_the_gun)
        await work.bounded(share.numbers, share.concurrency, item)
        await asyncio.to_thread(work.stay_until_measured)


if __name__ == "__main__":
    asyncio.run(main())
