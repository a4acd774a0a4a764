"""Nemesis: chooses victims and moments by its seed, does them harm, and says what it did."""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Awaitable, Callable

from tests.chaos.system import LEASE_S, System, until

__all__ = ["Nemesis"]

_KEEP_S = 0.05


class Nemesis:
    """Each fault is injected and healed: when its method returns, every process is there again."""

    def __init__(self, system: System, rng: random.Random) -> None:
        self._system = system
        self._rng = rng

    @property
    def faults(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Those that any system can bear at any time."""
        return {
            "kill an agent": self.kill_agent,
            "kill a supervisor": self.kill_supervisor,
            "kill the server": self.kill_server,
            "freeze an agent": lambda: self.freeze("agent"),
            "freeze a supervisor": lambda: self.freeze("supervisor"),
            "stop an agent": lambda: self.replace("agent"),
            "stop a supervisor": lambda: self.replace("supervisor"),
        }

    def one_of(self, kind: str) -> str:
        """A living process of the kind."""
        system = self._system
        return self._rng.choice([name for name in system.names if name.startswith(kind) and system.is_alive(name)])

    async def pause(self, at_least_s: float, at_most_s: float) -> None:
        """Wait for a moment of its choice."""
        await asyncio.sleep(self._rng.uniform(at_least_s, at_most_s))

    async def in_a_call(self, name: str) -> None:
        """Wait until a process has begun calls of its model that have not ended."""
        pid = self._system.pid(name)
        await until(lambda: self._system.ledger.in_flight().get(pid, 0) > 0, f"{name} calls its model")

    async def after_a_call(self, name: str) -> None:
        """Wait until a call of a process has just ended."""
        pid = self._system.pid(name)
        before = self._system.ledger.ended_calls(pid)
        await until(lambda: self._system.ledger.ended_calls(pid) > before, f"the model answers {name}")

    # Faults

    async def kill_agent(self) -> None:
        await self._kill(self.one_of("agent"))

    async def kill_supervisor(self) -> None:
        await self._kill(self.one_of("supervisor"))

    async def kill_server(self) -> None:
        """One node of the bus dies, and comes back on its store."""
        node = self._rng.choice(self._system.servers.nodes)
        self.say(f"kill the server {node.name}")
        await asyncio.to_thread(node.kill)
        await self.pause(0.0, 1.0)
        self._system.servers.restart(node)
        await self._system.servers.ready()

    async def freeze(self, kind: str) -> None:
        """A process stands still for longer than its leases last, and then goes on as if nothing had happened."""
        name = self.one_of(kind)
        self.say(f"freeze {name}")
        self._system.freeze(name)
        try:
            await self.pause(1.5 * LEASE_S, 2.5 * LEASE_S)
        finally:
            self._system.thaw(name)

    async def replace(self, kind: str) -> None:
        """A process is told to stop, ends well, and another one takes its place."""
        name = self.one_of(kind)
        self.say(f"stop {name}")
        self._system.terminate(name)
        code = await self._system.ended(name)
        assert code == 0, f"{name} was told to stop and ended with {code}"
        self._system.revive()

    async def die_at(self, point: str, name: str, nth: int) -> None:
        """The only process of its kind dies at a fail-point; two others take its place."""
        kind = name.partition("-")[0]
        rest = [one for one in self._system.names if one.startswith(kind)]
        self.say(f"{name} dies at {point}, the {nth}. time")
        for one in rest:
            self._system.terminate(one)
        for one in rest:
            await self._system.ended(one)
        self._system.start(name, failpoints=f"{point}=kill@{nth}")

    async def died_at(self, point: str, name: str) -> None:
        """Wait until it did, and start what is missing."""
        code = await self._system.ended(name)
        assert code == -9, f"{name} ended with {code}, not at {point}"
        self._system.revive()

    async def wreak(self, for_s: float) -> None:
        """One fault after the other."""
        async with self.reviving():
            give_up_at = asyncio.get_running_loop().time() + for_s
            while asyncio.get_running_loop().time() < give_up_at:
                await self.pause(0.5, 3.0)
                name = self._rng.choice(sorted(self.faults))
                await self.faults[name]()

    @contextlib.asynccontextmanager
    async def reviving(self) -> AsyncGenerator[None]:
        """Start whatever dies again, as an operator's system does."""

        async def keep() -> None:
            while True:
                self._system.revive()
                await asyncio.sleep(_KEEP_S)

        keeping = asyncio.ensure_future(keep())
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])

    def say(self, text: str) -> None:
        print(f"nemesis: {text}", flush=True)  # noqa: T201 (shown with a failure, and with -s)

    async def _kill(self, name: str) -> None:
        self.say(f"kill {name}")
        self._system.kill(name)
        await self.pause(0.0, 1.0)
        self._system.revive()
