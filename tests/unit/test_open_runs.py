"""What a supervisor remembers of runs: little, and only for as long as it gets every delivery."""

import asyncio
from datetime import UTC, datetime

import pytest

from stretto.bus.delivery import Delivery
from stretto.bus.subjects import RunKey
from stretto.supervisor.leases import Leases
from stretto.supervisor.open_runs import OpenRuns
from stretto.supervisor.state import RunState


class Bus:
    """Where deliveries are acknowledged."""

    def __init__(self) -> None:
        self.said: list[tuple[int, str]] = []

    async def publish(self, subject: str, payload: bytes) -> None:
        self.said.append((int(subject), payload.split()[0].decode()))


def delivery(bus: Bus, seq: int, *, number: int = 1, deliveries: int = 1) -> Delivery:
    return Delivery(
        subject=f"run.{seq}",
        data=b"much",
        headers={"a": "b"},
        seq=seq,
        delivery=number,
        deliveries=deliveries,
        at=datetime(2026, 1, 1, tzinfo=UTC),
        _reply=str(seq),
        _connection=bus,  # type: ignore[arg-type]  # all that a delivery does is publish
    )


def key(run: str) -> RunKey:
    return RunKey(0, "default", run)


async def remember(runs: OpenRuns, name: str) -> None:
    async with runs.use(key(name)) as run:
        run.state = RunState()


async def remembers(runs: OpenRuns, name: str) -> bool:
    async with runs.use(key(name)) as run:
        return run.state is not None


async def test_the_states_used_last_are_kept() -> None:
    runs = OpenRuns(keep=2)
    for name in ("a", "b", "a", "c"):
        await remember(runs, name)
    assert len(runs) == 2
    assert not await remembers(runs, "b")
    assert await remembers(runs, "a")
    assert await remembers(runs, "c")


async def test_a_run_without_a_state_is_not_kept() -> None:
    runs = OpenRuns(keep=2)
    async with runs.use(key("a")):
        pass
    assert len(runs) == 0


async def test_a_run_in_use_is_never_forgotten_and_is_used_by_one_at_a_time() -> None:
    runs = OpenRuns(keep=1)
    entered: list[str] = []
    async with asyncio.TaskGroup() as group, runs.use(key("a")) as run:
        second = group.create_task(enter(runs, "a", entered))
        await remember(runs, "b")
        await asyncio.wait({second}, timeout=0)
        run.state = RunState()
        entered.append("first")
    assert entered == ["first", "knows it"]
    assert len(runs) == 1


async def enter(runs: OpenRuns, name: str, entered: list[str]) -> None:
    async with runs.use(key(name)) as run:
        entered.append("knows it" if run.state is not None else "does not")


async def test_a_gap_in_the_deliveries_makes_every_state_doubtful() -> None:
    bus, runs = Bus(), OpenRuns(keep=9)
    runs.note(delivery(bus, 1, number=1))
    await remember(runs, "a")
    runs.note(delivery(bus, 2, number=2))
    assert await remembers(runs, "a")
    runs.note(delivery(bus, 4, number=4))
    assert not await remembers(runs, "a")
    await remember(runs, "a")
    assert await remembers(runs, "a")


async def test_a_state_that_was_in_use_when_the_gap_came_is_doubtful_too() -> None:
    bus, runs = Bus(), OpenRuns(keep=9)
    runs.note(delivery(bus, 1, number=1))
    async with runs.use(key("a")) as run:
        state = run.state or RunState()
        runs.note(delivery(bus, 3, number=3))
        run.state = state
    assert not await remembers(runs, "a")


def hold(leases: Leases, name: str, one: Delivery) -> bool:
    with leases.holding(key(name), one, 1) as held:
        return held


async def test_the_first_message_of_a_run_is_its_lease_and_is_kept_without_its_bytes() -> None:
    bus, leases = Bus(), Leases()
    assert hold(leases, "a", delivery(bus, 1))
    assert not hold(leases, "a", delivery(bus, 2))
    lease = leases.of(key("a"))
    assert lease is not None
    assert [(one.seq, one.data, one.headers) for one in lease.deliveries] == [(1, b"", {})]
    await leases.renew()
    await leases.release(key("a"))
    assert bus.said == [(1, "+WPI"), (1, "+ACK")]
    assert len(leases) == 0


async def test_a_lease_that_comes_again_is_held_again() -> None:
    bus, leases = Bus(), Leases()
    assert hold(leases, "a", delivery(bus, 1))
    assert hold(leases, "a", delivery(bus, 1, deliveries=2))
    await leases.release(key("a"))
    assert bus.said == [(1, "+ACK")]


async def test_beside_a_lease_that_another_process_may_acknowledge_the_next_message_is_held() -> None:
    bus, leases = Bus(), Leases()
    assert hold(leases, "a", delivery(bus, 1, deliveries=2))
    assert hold(leases, "a", delivery(bus, 2, deliveries=2))
    assert hold(leases, "a", delivery(bus, 3))
    assert not hold(leases, "a", delivery(bus, 4))
    await leases.give_back()
    assert bus.said == [(1, "-NAK"), (2, "-NAK"), (3, "-NAK")]
    assert len(leases) == 0


async def test_an_error_takes_back_only_the_lease_that_it_concerns() -> None:
    bus, leases = Bus(), Leases()

    def fail(one: Delivery) -> None:
        with pytest.raises(LookupError), leases.holding(key("a"), one, 1):
            raise LookupError

    fail(delivery(bus, 1))
    assert len(leases) == 0
    assert hold(leases, "a", delivery(bus, 1, deliveries=2))
    fail(delivery(bus, 2))
    lease = leases.of(key("a"))
    assert lease is not None
    assert [one.seq for one in lease.deliveries] == [1]
