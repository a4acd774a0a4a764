"""Processes that are told to stop: they end in time, with exit code 0, and others have their work at once."""

import asyncio
import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.acceptance import slow_agents
from tests.acceptance.command import Ran, Running, Stretto, wait_until
from tests.faults.proxy import tell

PLAYBOOK = """
name: slow
description: one task that takes its time
roles: {slow: takes its time}
tasks:
  - {id: work, role: slow}
answer: work
"""
AT_ONCE_S = 1.0
UNWIND_S = 3.0
"""What a process may take for giving back and for ending itself, on a busy machine."""


class World:
    """A supervisor at work, and agents whose work takes as long as the test wants."""

    def __init__(self, user: Stretto, stack: contextlib.ExitStack) -> None:
        self.user = user
        self._stack = stack
        shutil.copy(slow_agents.__file__, user.folder / "slow_agents.py")
        (user.folder / "playbooks").mkdir()
        (user.folder / "playbooks" / "slow.yaml").write_text(PLAYBOOK, encoding="utf-8")
        self.supervisor = self.start("supervisor", "run")

    def start(self, *words: str, **variables: str) -> Running:
        return self._stack.enter_context(self.user.with_variables(**variables).start(*words))

    def agent(self, name: str = "Slow", **variables: str) -> Running:
        """Start an agent; return when it is seen by others."""
        before = len(self._agents())
        agent = self.start("agent", "run", f"slow_agents:{name}", **variables)
        wait_until(lambda: len(self._agents()) > before, "the agent is there")
        return agent

    def ask(self) -> Running:
        return self.start("ask", "go on", "--playbook", "slow", "--json", "-q")

    def begun(self, times: int) -> list[tuple[int, float]]:
        """Wait until the task has begun so often; return by which process each time, and when."""
        file = self.user.folder / slow_agents.BEGUN
        wait_until(lambda: file.exists() and file.read_text().count("\n") >= times, f"it has begun {times} times")
        lines = [line.split() for line in file.read_text(encoding="utf-8").splitlines()]
        return [(int(pid), float(at)) for pid, at in lines]

    def let_go(self) -> None:
        (self.user.folder / slow_agents.GO).touch()

    def _agents(self) -> list[object]:
        agents = self.user.run("agent", "list", "--json").data["agents"]
        return [one for one in agents if one["role"] == slow_agents.ROLE]


@pytest.fixture
def world(nats_url: str, prefix: str, tmp_path: Path) -> Iterator[World]:
    user = Stretto(tmp_path).with_variables(
        nats_url=nats_url, prefix=prefix, playbooks='["playbooks"]', grace_s="1", log_level="INFO"
    )
    with contextlib.ExitStack() as stack:
        yield World(user, stack)


def told(running: Running, *, within_s: float, number: signal.Signals = signal.SIGTERM) -> Ran:
    """Tell a process to stop; it must have ended by then."""
    began = time.monotonic()
    running.process.send_signal(number)
    ran = running.end()
    assert time.monotonic() - began < within_s, ran.err
    return ran


@pytest.mark.parametrize("name", ["Slow", pytest.param("Threaded", marks=pytest.mark.slow)])
def test_a_task_of_a_minute_is_anothers_as_soon_as_its_agent_has_ended(world: World, name: str) -> None:
    first = world.agent(name)
    asking = world.ask()
    assert [pid for pid, _ in world.begun(1)] == [first.process.pid]
    second = world.agent()

    ran = told(first, within_s=1.0 + UNWIND_S)
    ended_at = time.time()
    assert ran.code == 0, ran.err
    assert "Traceback" not in ran.err

    (_, (pid, at)) = world.begun(2)
    assert pid == second.process.pid
    assert at - ended_at < AT_ONCE_S, "the lease is half a minute"
    world.let_go()
    assert asking.end().data["state"] == "completed"
    assert told(second, within_s=UNWIND_S).code == 0
    assert told(world.supervisor, within_s=1.0 + UNWIND_S).code == 0


def test_what_can_be_finished_within_the_grace_period_is_finished(world: World) -> None:
    first = world.agent(grace_s="30")
    asking = world.ask()
    world.begun(1)

    first.process.send_signal(signal.SIGTERM)
    first.wait_for("no more is taken in")
    world.agent()
    world.let_go()

    assert first.end().code == 0
    assert asking.end().data["state"] == "completed"
    assert len(world.begun(1)) == 1


def test_a_second_signal_ends_it_at_once_and_gives_its_task_back_all_the_same(world: World) -> None:
    first = world.agent(grace_s="60")
    world.ask()
    world.begun(1)
    second = world.agent()

    first.process.send_signal(signal.SIGTERM)
    first.wait_for("no more is taken in")
    ran = told(first, within_s=UNWIND_S)

    assert ran.code == 0, ran.err
    assert world.begun(2)[1][0] == second.process.pid
    world.let_go()


def test_a_handler_that_does_not_end_is_left_behind_and_told_by_the_exit_code(world: World) -> None:
    first = world.agent("Deaf")
    world.ask()
    world.begun(1)
    second = world.agent()

    ran = told(first, within_s=15.0)

    assert ran.code == 1, ran.err
    assert "goes on though it was cancelled" in ran.err
    assert world.begun(2)[1][0] == second.process.pid
    world.let_go()


def test_an_open_run_is_another_supervisors_as_soon_as_its_own_is_told_to_stop(world: World) -> None:
    world.agent()
    other = world.start("supervisor", "run")
    wait_until(
        lambda: len(world.user.run("status", "--json").data["roles"]["supervisor"]["instances"]) == 2, "both are up"
    )
    askings = [world.ask() for _ in range(3)]
    world.begun(1)

    assert told(world.supervisor, within_s=1.0 + UNWIND_S).code == 0
    world.let_go()
    began = time.monotonic()
    assert [asking.end().data["state"] for asking in askings] == ["completed"] * 3
    assert time.monotonic() - began < 5.0, "leases are a quarter of a minute"
    assert told(other, within_s=1.0 + UNWIND_S).code == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("words", [("supervisor", "run"), ("agent", "run", "researcher"), ("memory", "run")])
def test_a_signal_while_it_looks_for_its_server_ends_it(
    tmp_path: Path, words: tuple[str, ...], number: signal.Signals
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        user = Stretto(tmp_path).with_variables(nats_url=f"nats://127.0.0.1:{silent.getsockname()[1]}")
        with user.start(*words) as running:
            silent.settimeout(60.0)
            connection, _ = silent.accept()
            with connection:  # which says nothing
                ran = told(running, within_s=UNWIND_S, number=number)
    assert ran.code == 0, ran.err
    assert "Traceback" not in ran.err


@pytest.fixture
def proxy(nats_url: str) -> Iterator[dict[str, str]]:
    """A network in a process of its own: its `url` for clients, and where to `control` it."""
    command = [sys.executable, "-m", "tests.faults.proxy", nats_url]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.terminate()


@pytest.mark.parametrize(
    "fault",
    ["both drop", pytest.param("both stall", marks=pytest.mark.slow), pytest.param("refuse", marks=pytest.mark.slow)],
)
def test_an_agent_that_is_cut_off_ends_in_time_when_it_is_told_to(
    world: World, proxy: dict[str, str], fault: str
) -> None:
    agent = world.agent(nats_url=proxy["url"])
    world.ask()
    world.begun(1)
    assert asyncio.run(tell(proxy["control"], fault)) == "ok"

    ran = told(agent, within_s=1.0 + 2 * UNWIND_S)

    assert ran.code == 0, ran.err
    assert "Traceback" not in ran.err
    world.let_go()


def alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_system_ends_its_agents_before_its_supervisor_its_memory_and_its_server(
    tmp_path: Path, number: signal.Signals
) -> None:
    with Stretto(tmp_path).start("up") as running:
        running.wait_for("ready")
        family = running.family()
        stages = {"agents": "agent", "supervisor": "supervisor", "memory": "memory", "server": "nats-server"}
        parts = {
            stage: [one for one in family if any(Path(part).name == word for part in one.cmdline()[:6])]
            for stage, word in stages.items()
        }
        assert [len(parts[stage]) for stage in stages] == [4, 1, 1, 1]
        began = time.monotonic()
        running.process.send_signal(number)
        while any(alive(one) for one in family):
            ended = [not any(alive(one) for one in parts[stage]) for stage in stages]
            assert ended == sorted(ended, reverse=True), f"out of order: {dict(zip(stages, ended, strict=True))}"
            assert time.monotonic() - began < 20.0
        assert running.end().code == 0


def test_a_second_interrupt_of_a_system_waits_for_nobody(tmp_path: Path) -> None:
    with Stretto(tmp_path).with_variables(grace_s="60").start("up") as running:
        running.wait_for("ready")
        family = running.family()
        (stuck,) = [one for one in family if "researcher" in one.cmdline()]
        stuck.suspend()  # as a handler that computes does, it does not hear of anything
        running.process.send_signal(signal.SIGINT)
        running.wait_for("stopping")
        ran = told(running, within_s=15.0, number=signal.SIGINT)
        assert ran.code == 0, ran.err
        assert not any(alive(one) for one in family)
