"""The consume loop that one writes by hand over nats-py: an inbox, overlapping pulls for the free slots, bounded tasks."""

import asyncio
import json
from collections.abc import Awaitable, Callable

from nats.aio.client import Client
from nats.aio.msg import Msg

__all__ = ["consume"]

_EXPIRES_S = 30
_NANOS = 1_000_000_000


async def consume(
    nc: Client, stream: str, consumer: str, handler: Callable[[Msg], Awaitable[None]], slots: int
) -> None:
    """Hand messages to `handler`, at most `slots` at a time, until cancelled. The handler acknowledges."""
    inbox = nc.new_inbox()
    asked = busy = 0

    async def pull() -> None:
        nonlocal asked
        free = slots - asked - busy
        if free * 4 >= slots:
            asked += free
            question = json.dumps({"batch": free, "expires": _EXPIRES_S * _NANOS}).encode()
            await nc.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", question, reply=inbox)

    async def work(msg: Msg) -> None:
        nonlocal busy
        await handler(msg)
        busy -= 1
        await pull()

    async with asyncio.TaskGroup() as tasks:

        async def receive(msg: Msg) -> None:
            nonlocal asked, busy
            if not msg.reply:  # the pull has expired: nothing of it is outstanding any more
                asked = 0
                await pull()
                return
            asked -= 1
            busy += 1
            tasks.create_task(work(msg))

        await nc.subscribe(inbox, cb=receive)
        await pull()
        await asyncio.get_running_loop().create_future()
