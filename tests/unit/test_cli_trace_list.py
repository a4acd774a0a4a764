"""`stretto trace list`: which runs are taken, and how they look on terminals of any width."""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from rich.cells import cell_len

from stretto.cli.latest_runs import ListedRun
from stretto.cli.trace_list import Choice
from stretto.cli.trace_list_view import failed_attempts, runs_text
from stretto.shared.contracts.answer import Answer, TaskReport
from stretto.shared.contracts.usage import Usage

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
HERE = NOW.replace(tzinfo=None).astimezone()
"""As runs are shown: by the clock of this machine."""
USED = Usage(model_calls=7, input_tokens=11_000, output_tokens=1_300, cost_usd=0.0213)


def report(state: Literal["succeeded", "failed", "skipped"], attempts: int) -> TaskReport:
    return TaskReport(task="find", role="researcher", state=state, attempts=attempts)


def run(name: str, text: str = "When is a refund paid?", *, took_s: float | None = None, **fields: Any) -> ListedRun:
    """A run that was asked a minute ago; over if it took some time."""
    return ListedRun(
        run=name,
        asked_at=HERE - timedelta(minutes=1),
        principal="ann",
        text=text,
        answer=None if took_s is None else Answer(**{"state": "completed", "playbook": "research", **fields}),
        ended_at=None if took_s is None else HERE - timedelta(minutes=1) + timedelta(seconds=took_s),
        questions=("q-1",) if took_s is None and fields.get("waits") else (),
    )


RUNS = (
    run("0198aa00b0c1", took_s=40.0, usage=USED, tasks=(report("succeeded", 3),)),
    run("0198aa00b0d2", "How many days?", took_s=2.25, playbook="a-playbook-of-a-long-name"),
    run("first", "Warum?\n  \x1b[31mWeil.", took_s=5.0, state="failed", tasks=(report("failed", 2),)),
    run("second", waits=True),
)


def lines(width: int | None) -> list[str]:
    return runs_text(RUNS, now=HERE, width=width).plain.splitlines()


def test_eighty_columns_hold_the_request_and_how_it_went() -> None:
    assert lines(80) == [
        "run          asked    took          state        cost  failed  request",
        "0198aa00b0c  11:59  40.0 s  ====    completed  $0.021       2  When is a refund…",
        "0198aa00b0d  11:59   2.2 s  =       completed      $0          How many days?",
        "first        11:59   5.0 s  =       failed         $0       2  Warum? [31mWeil.",
        "second       11:59  60.0 s  ======  waiting                    When is a refund…",
    ]


def test_a_file_gets_everything() -> None:
    head, first, *_ = lines(None)
    assert head.split() == ["run", "asked", "took", "state", "playbook", "calls", "tokens", "cost", "failed", "request"]
    assert first.split()[0] == "0198aa00b0c1"
    assert "research " in first
    assert "  7   12.3k  $0.021       2  When is a refund paid?" in first


@pytest.mark.parametrize("width", range(20, 240, 7))
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    wide = run("wide", "どうして返金は遅いのですか、そしていつ支払われますか" * 3, took_s=12_345.0, usage=USED)
    shown = runs_text((*RUNS, wide), now=HERE, width=width).plain.splitlines()
    fixed = 60  # what nobody can do without: the run, how long it took, its state, cost and failures
    assert all(cell_len(line) <= max(width, fixed) for line in shown)


def test_ids_are_as_long_as_tells_them_apart() -> None:
    runs = tuple(run(f"{name}-0123456789") for name in ("aaaabbbbcc", "aaaabbbbcd", "x"))
    _, *shown = runs_text(runs, now=HERE, width=80).plain.splitlines()
    assert [line.split()[0] for line in shown] == ["aaaabbbbcc", "aaaabbbbcd", "x-01234567"]


@pytest.mark.parametrize(
    ("tasks", "failed"),
    [
        ((), 0),
        ((report("succeeded", 1), report("skipped", 0)), 0),
        ((report("succeeded", 3),), 2),
        ((report("failed", 2),), 2),
        ((report("skipped", 1),), 1),  # it failed, and the run was over before it was tried again
    ],
)
def test_all_attempts_failed_but_the_one_that_succeeded(tasks: tuple[TaskReport, ...], failed: int) -> None:
    assert failed_attempts(run("r", took_s=1.0, tasks=tasks)) == failed


@pytest.mark.parametrize(
    ("choice", "taken"),
    [
        (Choice(), [0, 1, 2, 3]),
        (Choice(state="completed"), [0, 1]),
        (Choice(state="failed"), [2]),
        (Choice(state="open"), [3]),
        (Choice(state="waiting"), [3]),
        (Choice(slower_s=5.0), [0, 3]),
        (Choice(playbook="research"), [0, 2]),
        (Choice(text="REFUND"), [0, 3]),
        (Choice(text="refund", slower_s=50), [3]),
        (Choice(since=HERE - timedelta(minutes=1)), [0, 1, 2, 3]),
        (Choice(since=HERE), []),
    ],
)
def test_runs_are_taken_for_which_all_holds(choice: Choice, taken: list[int]) -> None:
    assert [number for number, one in enumerate(RUNS) if choice.takes(one, HERE)] == taken
