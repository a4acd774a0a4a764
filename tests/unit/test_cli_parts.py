"""The command line's small parts: backoff, errors and exit codes, the agents' names, and what is loaded when."""

import subprocess
import sys
from pathlib import Path

import pytest

from stretto.agents.researcher import Researcher
from stretto.bus.errors import Busy, RunExists, ServerTooOld, StoreLocked, TimedOut, TooLarge
from stretto.cli.agents import BUILT_IN, load_agent
from stretto.cli.backoff import Backoff
from stretto.cli.errors import Interrupted, NotReachable, PartFailed, SystemGone, UsageFailed, failure_of
from stretto.cli.models import check_model
from stretto.cli.part import last_line
from stretto.shared.memory.errors import EmbedderUnusable, MemoryUnavailable, NothingToRead
from stretto.shared.settings import SettingsError
from stretto.supervisor.errors import PlaybookError


def test_backoff_doubles_up_to_half_a_minute_and_begins_anew_after_a_healthy_time() -> None:
    longest = Backoff(jitter=lambda: 1.0)
    waits = [longest.after(0.1) for _ in range(10)]

    assert waits[:4] == [0.25, 0.5, 1.0, 2.0]
    assert waits[-1] == 30.0
    assert longest.after(60.0) == 0.25


def test_backoff_spreads_what_failed_together() -> None:
    assert Backoff(jitter=lambda: 0.0).after(0.1) == 0.125


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageFailed("x"), 2),
        (SettingsError("x"), 2),
        (PlaybookError(Path("a.yaml"), 3, "x"), 2),
        (NothingToRead("x"), 2),
        (RunExists("x"), 2),
        (TooLarge("x"), 2),
        (NotReachable("x"), 3),
        (SystemGone("x"), 3),
        (StoreLocked("x"), 3),
        (ServerTooOld("x"), 3),
        (TimedOut("x"), 3),
        (Busy("x"), 3),
        (MemoryUnavailable("x"), 3),
        (EmbedderUnusable("x"), 3),
        (Interrupted("x"), 1),
        (PartFailed("x", exit_code=2), 2),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_every_expected_error_has_an_exit_code(error: Exception, code: int) -> None:
    failure = failure_of(error)

    assert failure is not None
    assert (failure.exit_code, failure.kind) == (code, type(error).__name__)
    assert failure_of(ExceptionGroup("tasks", [error])) == failure


def test_a_defect_is_not_taken_for_an_expected_error() -> None:
    assert failure_of(KeyError("x")) is None
    assert failure_of(ExceptionGroup("tasks", [UsageFailed("x"), KeyError("y")])) is None


def test_a_failure_is_one_line() -> None:
    failure = failure_of(UsageFailed("first\n  second"))
    assert failure is not None
    assert failure.message == "first second"


def test_every_built_in_agent_can_be_loaded() -> None:
    assert {load_agent(name).role for name in BUILT_IN} == set(BUILT_IN)
    assert isinstance(load_agent("stretto.agents.researcher:Researcher"), Researcher)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resercher", "there is no agent 'resercher': use one of researcher"),
        ("no_such:Agent", "there is no module no_such in "),
        ("stretto.agents:Nobody", "stretto.agents:Nobody is no agent"),
        ("stretto.agents.worker:Worker", "is no agent: name a class that is derived"),
        ("stretto.agents:Agent", "has no role"),
    ],
)
def test_a_name_that_is_no_agent_is_refused_with_what_would_be_one(name: str, message: str) -> None:
    with pytest.raises(UsageFailed, match=message):
        load_agent(name)


def test_an_unknown_model_is_refused_with_the_choices() -> None:
    check_model("offline")
    check_model("scripted:lines.yaml")
    check_model("openai:gpt-9")
    check_model("local:qwen3:4b", {"local"})
    for wrong in ("gpt-9", "openai:", "local:qwen3", "scripted:"):
        with pytest.raises(SettingsError, match="use `offline`, `anthropic:MODEL`, `openai:MODEL`, or `scripted:FILE`"):
            check_model(wrong)


def test_the_last_line_of_a_log_says_why_a_part_ended(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    assert last_line(log) == ""
    log.write_text("2026 INFO something\nstretto: the disk is full\n\n")
    assert last_line(log) == "the disk is full"
    log.write_text('{"message": "starting"}\n{"level": "CRITICAL", "message": "the port is in use"}\n')
    assert last_line(log) == "the port is in use"
    for odd in ("[1]", "17", '{"level": "INFO"}'):
        log.write_text(odd)
        assert last_line(log) == odd


@pytest.mark.parametrize(
    ("module", "never"),
    [
        ("stretto", {"asyncio", "pydantic", "nats", "typer"}),
        ("stretto.cli.app", {"pydantic", "nats", "rich", "asyncio"}),
        (
            "stretto.cli.serving",
            {"anthropic", "openai", "httpx2", "chromadb", "numpy", "onnxruntime", "rich", "stretto.supervisor", "yaml"},
        ),
    ],
)
def test_nothing_is_loaded_before_it_is_needed(module: str, never: set[str]) -> None:
    listed = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"], capture_output=True, text=True, check=True
    )

    assert never & set(listed.stdout.split()) == set()
