"""Pinned consumers: one process of a group gets a shard's messages, and another takes over when it goes."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from stretto.bus.connection import Connection
from stretto.bus.consume import Consumer
from stretto.bus.delivery import Ack, Delivery, Disposition
from tests.integration.ground import LIMIT_S, Ground, Running, open_ground


@pytest.fixture
async def ground(nats_url: str, prefix: str) -> AsyncGenerator[Ground]:
    async with open_ground(nats_url, prefix, pin_s=1.0, run_lease_s=2.0) as ground:
        yield ground


class Supervisors:
    """Consumers of one shard, each on a connection of its own, and who got what."""

    def __init__(self, ground: Ground, group: asyncio.TaskGroup) -> None:
        self._ground = ground
        self._group = group
        self.got: asyncio.Queue[tuple[str, Delivery]] = asyncio.Queue()

    async def start(self, name: str) -> Running[Consumer]:
        connection: Connection = await self._ground.connect(name)

        async def handle(delivery: Delivery) -> Disposition:
            self.got.put_nowait((name, delivery))
            return Ack()

        return Running(self._group, self._ground.pinned(connection), handle)

    async def next(self) -> tuple[str, Delivery]:
        async with asyncio.timeout(LIMIT_S):
            return await self.got.get()

    async def ask(self, run: str) -> tuple[str, Delivery]:
        await self._ground.request(run)
        return await self.next()


async def test_only_one_of_a_group_gets_messages_in_order_and_without_gaps(ground: Ground) -> None:
    async with asyncio.TaskGroup() as group:
        supervisors = Supervisors(ground, group)
        one, two = await supervisors.start("one"), await supervisors.start("two")
        got = [await supervisors.ask(f"r{number}") for number in range(20)]
        assert sum(one.pinned for one in (one.consumer, two.consumer)) == 1
        await one.stop()
        await two.stop()
    assert len({name for name, _ in got}) == 1
    assert [delivery.delivery for _, delivery in got] == list(range(1, 21))


async def test_the_other_takes_over_when_the_pinned_one_stops(ground: Ground) -> None:
    async with asyncio.TaskGroup() as group:
        supervisors = Supervisors(ground, group)
        both = {"one": await supervisors.start("one"), "two": await supervisors.start("two")}
        first, _ = await supervisors.ask("r1")
        await both.pop(first).stop()
        began = asyncio.get_running_loop().time()
        (second,) = both
        assert (await supervisors.ask("r2"))[0] == second
        assert asyncio.get_running_loop().time() - began < ground.deployment.pin_s, "it need not wait for the pin's end"
        await both[second].stop()


async def test_the_other_takes_over_when_the_pinned_one_loses_its_connection(ground: Ground) -> None:
    async with asyncio.TaskGroup() as group:
        supervisors = Supervisors(ground, group)
        both = {"one": await supervisors.start("one"), "two": await supervisors.start("two")}
        first, _ = await supervisors.ask("r1")
        await both.pop(first).cancel()
        (second,) = both
        assert (await supervisors.ask("r2"))[0] == second
        await both[second].stop()


async def test_handing_over_moves_the_pin(ground: Ground) -> None:
    async with asyncio.TaskGroup() as group:
        supervisors = Supervisors(ground, group)
        both = {"one": await supervisors.start("one"), "two": await supervisors.start("two")}
        first, before = await supervisors.ask("r1")
        await both[first].consumer.hand_over(pause_s=30.0)
        name, after = await supervisors.ask("r2")
        assert name != first
        assert after.delivery == before.delivery + 1
        assert not both[first].consumer.pinned
        for running in both.values():
            await running.stop()


async def test_who_lost_the_pin_in_between_sees_a_gap_in_the_delivery_numbers(ground: Ground) -> None:
    async with asyncio.TaskGroup() as group:
        supervisors = Supervisors(ground, group)
        both = {"one": await supervisors.start("one"), "two": await supervisors.start("two")}
        first, before = await supervisors.ask("r1")
        await both[first].consumer.hand_over(pause_s=0.1)
        second, _ = await supervisors.ask("r2")
        assert second != first
        await both.pop(second).stop()
        back, after = await supervisors.ask("r3")
        assert back == first
        assert after.delivery == before.delivery + 2, "so the cache that it kept must be dropped"
        await both[first].stop()


async def test_one_that_waits_in_line_goes_on_waiting_after_its_pull_has_expired(ground: Ground) -> None:
    async with asyncio.TaskGroup() as group:
        supervisors = Supervisors(ground, group)
        one = await supervisors.start("one")
        assert (await supervisors.ask("r1"))[0] == "one"
        two = await supervisors.start("two")
        pulls: asyncio.Queue[None] = asyncio.Queue()

        async def note_pull(_: object) -> None:
            pulls.put_nowait(None)

        watcher = await ground.connect("watcher")
        await watcher.subscribe(f"$JS.API.CONSUMER.MSG.NEXT.{ground.shard}.*", note_pull)
        async with asyncio.timeout(LIMIT_S):
            for _ in range(3):  # pulls live for two seconds here
                await pulls.get()
        await one.stop()
        assert (await supervisors.ask("r2"))[0] == "two"
        await two.stop()
