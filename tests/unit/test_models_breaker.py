"""Breaker: when a model is left alone, when it is tried again, and by how many at once."""

import asyncio

import pytest

from stretto.shared.models.breaker import Breaker, Breakers
from stretto.shared.models.errors import (
    BadReply,
    CircuitOpen,
    LimitReached,
    ModelError,
    ModelUnavailable,
    NotConfigured,
    Refused,
)
from stretto.shared.money.errors import BudgetSpent
from tests.unit.test_models_chain import Clock


async def fails(breaker: Breaker, error: Exception) -> None:
    async def ask() -> None:
        raise error

    with pytest.raises(type(error)):
        await breaker.call(ask)


async def answers(breaker: Breaker) -> None:
    async def ask() -> str:
        return "yes"

    assert await breaker.call(ask) == "yes"


async def opened(clock: Clock) -> Breaker:
    breaker = Breaker("a:1", clock=clock, now=clock.now)
    for _ in range(3):
        await fails(breaker, ModelUnavailable("away"))
    return breaker


async def test_three_failures_open_it_and_the_error_says_when_to_come_back() -> None:
    clock = Clock()
    breaker = await opened(clock)
    clock.at += 5.0
    with pytest.raises(CircuitOpen) as caught:
        await answers(breaker)
    assert caught.value.retry_after_s == 10.0
    assert breaker.health.state == "open"


@pytest.mark.parametrize(
    "error", [BadReply(""), Refused(""), NotConfigured(""), LimitReached(""), BudgetSpent("")], ids=repr
)
async def test_only_a_model_that_is_away_opens_it(error: Exception) -> None:
    breaker = Breaker("a:1", clock=Clock())
    for _ in range(20):
        await fails(breaker, error)
    await answers(breaker)


async def test_an_odd_failure_among_many_calls_does_not_open_it() -> None:
    breaker = Breaker("a:1", clock=Clock())
    for _ in range(10):
        for _ in range(3):
            await answers(breaker)
        await fails(breaker, ModelUnavailable("away"))
    await answers(breaker)


async def test_one_call_alone_finds_out_whether_it_is_back() -> None:
    clock = Clock()
    breaker = await opened(clock)
    clock.at += 15.0
    asking, answer = asyncio.Event(), asyncio.Event()

    async def ask() -> str:
        asking.set()
        await answer.wait()
        return "yes"

    async with asyncio.TaskGroup() as group:
        probe = group.create_task(breaker.call(ask))
        await asking.wait()
        probed = breaker.health.state
        with pytest.raises(CircuitOpen):
            await answers(breaker)
        answer.set()
    assert probe.result() == "yes"
    assert (probed, breaker.health.state) == ("half_open", "ready")
    await answers(breaker)


@pytest.mark.parametrize("is_back", [True, False])
async def test_who_has_nobody_else_to_ask_waits_for_what_comes_of_the_probe(is_back: bool) -> None:
    clock = Clock()
    breaker = await opened(clock)
    clock.at += 15.0
    asking, answer = asyncio.Event(), asyncio.Event()

    async def ask() -> str:
        asking.set()
        await answer.wait()
        if not is_back:
            raise ModelUnavailable("still away")
        return "yes"

    async def other() -> str:
        return "yes, too"

    probe = asyncio.ensure_future(breaker.call(ask))
    await asking.wait()
    patient = [asyncio.ensure_future(breaker.call(other, patient=True)) for _ in range(3)]
    answer.set()
    ended = await asyncio.gather(probe, *patient, return_exceptions=True)
    if is_back:
        assert ended == ["yes", "yes, too", "yes, too", "yes, too"]
    else:
        assert [type(one) for one in ended] == [ModelUnavailable, CircuitOpen, CircuitOpen, CircuitOpen]


async def test_a_probe_in_vain_has_it_wait_twice_as_long() -> None:
    clock = Clock()
    breaker = await opened(clock)
    clock.at += 15.0
    await fails(breaker, ModelUnavailable("still away"))
    clock.at += 29.0
    with pytest.raises(CircuitOpen):
        await answers(breaker)
    clock.at += 1.0
    await answers(breaker)


async def test_a_probe_that_is_cancelled_leaves_its_place_to_another() -> None:
    clock = Clock()
    breaker = await opened(clock)
    clock.at += 15.0
    asking = asyncio.Event()

    async def ask() -> None:
        asking.set()
        await asyncio.Event().wait()

    probe = asyncio.ensure_future(breaker.call(ask))
    await asking.wait()
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    await answers(breaker)


async def test_nobody_has_to_be_spared_by_a_model_of_this_process() -> None:
    breakers = Breakers(clock=Clock())
    for name in ("offline", "scripted:replies.yaml"):
        for _ in range(20):
            await fails(breakers.of(name), ModelUnavailable("memory is away"))
        assert breakers.of(name).health.state == "ready"
        assert breakers.of(name).health.last_failure == "ModelUnavailable"
        await answers(breakers.of(name))


async def test_each_model_has_one_of_its_own() -> None:
    breakers = Breakers(clock=Clock())
    error: ModelError = ModelUnavailable("away")
    for _ in range(3):
        await fails(breakers.of("a:1"), error)
    await answers(breakers.of("a:2"))
    assert breakers.of("a:1") is breakers.of("a:1")
