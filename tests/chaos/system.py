"""System: the processes of one deployment on a bus of its own: started, killed, frozen and stopped one by one."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from stretto.bus.connection import Connection, ConnectionOptions
from stretto.bus.failpoints import VARIABLE
from stretto.bus.registry import Registry
from stretto.bus.streams import Deployment
from tests.chaos.agents import ALONE, DOOMED, LEDGER, PLAYBOOK, PRICES
from tests.chaos.ledger import Ledger
from tests.chaos.servers import Servers

__all__ = ["LEASE_S", "LIMIT_S", "ROOT", "Gauge", "System", "until"]

ROOT = Path(__file__).parents[2]
LEASE_S = 2.0
LIMIT_S = 60.0
"""How long a test waits for something that should happen at once, on a machine that is busy."""
_STOPS_S = 20.0
_AGENT = "tests.chaos.agents:Thinker"


@dataclass(frozen=True, slots=True)
class Gauge:
    """What a process takes."""

    memory_bytes: int
    files: int
    tasks: int


class System:
    """One deployment. Names say what a process is: `supervisor-1`, `agent-2`.

    Args:
        source: where the package `stretto` is taken from; another one than this repository's for a copy with a defect in it.
        variables: more settings, for all processes.
    """

    def __init__(
        self,
        folder: Path,
        *,
        nodes: int = 1,
        shards: int = 2,
        source: Path = ROOT,
        server_settings: dict[str, object] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.servers = Servers(folder / "bus", nodes=nodes, settings=server_settings)
        folder.mkdir(exist_ok=True)
        self.ledger = Ledger(folder / "ledger.db")
        self.deployment = Deployment(
            shards=shards, replicas=3 if nodes == 3 else 1, task_lease_s=LEASE_S, run_lease_s=LEASE_S
        )
        self.heal_s = 3 * LEASE_S * self.deployment.max_deliver
        self._variables = {
            "STRETTO_NATS_URL": self.servers.url,
            "STRETTO_SHARDS": str(shards),
            "STRETTO_REPLICAS": str(self.deployment.replicas),
            "STRETTO_TASK_LEASE_S": str(LEASE_S),
            "STRETTO_RUN_LEASE_S": str(LEASE_S),
            "STRETTO_PLAYBOOKS": f'["{folder / "playbooks"}"]',
            "STRETTO_DATA_DIR": str(folder / "data"),
            "PYTHONPATH": os.pathsep.join(map(str, dict.fromkeys((source, ROOT)))),
            "STRETTO_PRICES": PRICES,
            LEDGER: str(self.ledger.file),
            **(variables or {}),
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._agents: dict[str, str] = {}
        self._told: dict[str, dict[str, str]] = {}
        (folder / "playbooks").mkdir(parents=True)
        (folder / "logs").mkdir()
        for name, text in (("chaos", PLAYBOOK), ("alone", ALONE), ("doomed", DOOMED)):
            (folder / "playbooks" / f"{name}.yaml").write_text(text, encoding="utf-8")

    # Processes

    @property
    def names(self) -> list[str]:
        return list(self._processes)

    def pid(self, name: str) -> int:
        return self._processes[name].pid

    def is_alive(self, name: str) -> bool:
        return self._processes[name].poll() is None

    def start(
        self,
        name: str,
        *,
        failpoints: str = "",
        url: str = "",
        agent: str = "",
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Start a process, with fail-points armed, at another address (a proxy's), or as another agent.

        Started again without them it keeps all of that but its fail-points.
        """
        told = self._told.setdefault(name, {}) | dict(variables or {}) | ({"STRETTO_NATS_URL": url} if url else {})
        self._told[name] = told
        self._agents[name] = agent or self._agents.get(name, _AGENT)
        clean = {key: value for key, value in os.environ.items() if not key.startswith("STRETTO_")}
        words = ["supervisor"] if name.startswith("supervisor") else ["agent", self._agents[name]]
        with (self.folder / "logs" / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                # -P: the copy of the package that PYTHONPATH names counts, whatever lies in the current folder.
                [sys.executable, "-P", "-m", "tests.chaos.part", *words],
                env=clean | self._variables | told | {VARIABLE: failpoints},
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )

    def start_all(self, *, supervisors: int = 2, agents: int = 2) -> None:
        """Start whatever of these does not run yet."""
        wanted = [f"supervisor-{number + 1}" for number in range(supervisors)]
        wanted += [f"agent-{number + 1}" for number in range(agents)]
        for name in wanted:
            if name not in self._processes or not self.is_alive(name):
                self.start(name)

    def kill(self, name: str) -> None:
        process = self._processes[name]
        process.kill()
        process.wait()
        self.ledger.thaw(process.pid)

    def freeze(self, name: str) -> None:
        """It does nothing more, and keeps all that it has, until `thaw`."""
        process = psutil.Process(self.pid(name))
        with self.ledger.freezing(process.pid):
            process.suspend()
            give_up_at = time.monotonic() + LIMIT_S
            while process.status() != psutil.STATUS_STOPPED:
                assert time.monotonic() < give_up_at, f"{name} does not stand still"

    def thaw(self, name: str) -> None:
        self._processes[name].send_signal(signal.SIGCONT)
        self.ledger.thaw(self.pid(name))

    def forget(self, name: str) -> None:
        """End a process for good."""
        self.kill(name)
        del self._processes[name]

    def terminate(self, name: str) -> None:
        """Ask it to stop."""
        self._processes[name].terminate()

    async def ended(self, name: str) -> int:
        """Wait until it ends; return its exit code (-n where signal n ended it)."""
        process = self._processes[name]
        await until(lambda: process.poll() is not None, f"{name} ends")
        return process.wait()

    def revive(self) -> list[str]:
        """Start again what has died, without its fail-points; return the names."""
        dead = [name for name in self._processes if not self.is_alive(name)]
        for name in dead:
            self.start(name)
        return dead

    def stop(self) -> None:
        """End everything, the bus last."""
        for process in self._processes.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        give_up_at = time.monotonic() + _STOPS_S
        for process in self._processes.values():
            try:
                process.wait(timeout=max(0.1, give_up_at - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.servers.stop()

    # What they say of themselves

    async def connect(self, name: str = "test") -> Connection:
        """A connection that no fault touches but the server's own."""
        return await Connection.open(ConnectionOptions(self.servers.url, name=name, wait_s=LIMIT_S))

    async def ready(self, supervisors: int = 2, agents: int = 2) -> None:
        """Wait until so many of them have announced themselves."""
        wanted = {"supervisor": supervisors, "think": agents}
        async with (
            await self.connect() as connection,
            Registry(connection=connection, subjects=self.deployment.subjects) as registry,
        ):
            await until(lambda: self._are_there(registry, wanted), f"{wanted} are there")

    def _are_there(self, registry: Registry, wanted: Mapping[str, int]) -> bool:
        dead = [name for name in self._processes if not self.is_alive(name)]
        assert not dead, f"{dead} ended by themselves:\n{self.last_words()}"
        return all(len(registry.alive(role)) >= count for role, count in wanted.items())

    async def gauge(self, name: str) -> Gauge:
        """What a process takes now."""
        pid, since = self.pid(name), time.monotonic()
        self._processes[name].send_signal(signal.SIGUSR1)
        await until(lambda: self.ledger.last_gauge(pid, since) is not None, f"{name} counts its tasks")
        process = psutil.Process(pid)
        return Gauge(process.memory_info().rss, process.num_fds(), self.ledger.last_gauge(pid, since) or 0)

    def last_words(self) -> str:
        """The last lines of every log, for whoever looks into a failure."""
        logs = sorted((self.folder / "logs").glob("*.log"))
        return "\n".join(f"--- {log.stem}\n{_tail(log)}" for log in logs)


def _tail(log: Path, lines: int = 12) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


async def until(condition: Callable[[], bool], what: str, *, limit_s: float = LIMIT_S) -> None:
    """Ask again and again: what happens in other processes cannot be waited for otherwise."""
    try:
        async with asyncio.timeout(limit_s):
            while not condition():  # noqa: ASYNC110 (it is another process that changes it)
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not so within {limit_s:g} s: {what}") from None
