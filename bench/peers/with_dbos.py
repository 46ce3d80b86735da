"""DBOS: one durable workflow per item, four durable steps in it; its own tables in PostgreSQL.

Workflows are called directly, not through a queue, and nobody polls for results: its leanest way.
"""

# Its library is not part of our environment: its decorators are unknown here.
# mypy: disable-error-code="import-not-found,untyped-decorator,no-any-return"

import asyncio
from typing import Any

from dbos import DBOS, SetWorkflowID

from bench import work

CONNECTIONS = 20


@DBOS.step()
async def validate(number: int) -> dict[str, Any]:
    """Ask the slow reviewer."""
    await work.review()
    return work.answer("validate", number)


@DBOS.step()
async def classify(number: int) -> dict[str, Any]:
    """Name the category."""
    return work.answer("classify", number)


@DBOS.step()
async def evaluate(number: int) -> dict[str, Any]:
    """Say how far it can be relied on."""
    return work.answer("evaluate", number)


@DBOS.step()
async def settle(number: int) -> dict[str, Any]:
    """Give the item its state."""
    return work.answer("settle", number)


@DBOS.workflow()
async def item(number: int) -> dict[str, Any]:
    """Take an item through the four steps."""
    await validate(number)
    await classify(number)
    await evaluate(number)
    return await settle(number)


async def main() -> None:
    """Do one share."""
    share = work.share()
    DBOS(
        config={
            "name": "bench",
            "system_database_url": share.dsn,
            "sys_db_pool_size": CONNECTIONS,
            "executor_id": f"share-{share.first}",
            "application_version": "bench",
            "log_level": "WARNING",
        }
    )
    DBOS.launch()

    results: list[dict[str, Any]] = []

    async def durable(number: int) -> None:
        with SetWorkflowID(f"item-{number}"):
            results.append({"number": number, **await item(number)})

    await asyncio.to_thread(work.wait_for_the_gun)
    await work.bounded(share.numbers, share.concurrency, durable)
    await asyncio.to_thread(work.stay_until_measured)
    work.say_results(results)
    DBOS.destroy()


if __name__ == "__main__":
    asyncio.run(main())
