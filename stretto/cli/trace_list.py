"""trace_list: the latest runs with what they took, chosen by how they went."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

from stretto.cli.dollars import dollars
from stretto.cli.latest_runs import ListedRun, latest_runs, with_questions
from stretto.cli.letter_filter import point_in_time
from stretto.cli.output import write_json, write_table
from stretto.cli.running_system import open_log
from stretto.cli.terminal import say
from stretto.shared.requester import requester_on
from stretto.shared.settings import Settings

__all__ = ["list_traces"]

State = Literal["completed", "failed", "cancelled", "rejected", "open", "waiting"]
_ID_CHARS: Final = 12
_BAR_CHARS: Final = 8


async def list_traces(
    settings: Settings,
    *,
    state: State | None,
    since: str | None,
    slower_s: float | None,
    playbook: str | None,
    text: str | None,
    limit: int,
    as_json: bool,
) -> int:
    """The tenant's latest runs that are so, newest first. A run that goes on has taken as long as it goes on.

    Raises:
        UsageFailed: `since` cannot be read.
    """
    now = datetime.now(UTC)
    after = None if since is None else point_in_time(since, now=now)
    async with open_log(settings) as connection:
        runs = [
            run
            for run in await latest_runs(settings, connection)
            if (after is None or run.asked_at >= after)
            and (slower_s is None or _seconds(run, now) > slower_s)
            and (playbook is None or (run.answer is not None and run.answer.playbook == playbook))
            and (text is None or text.casefold() in run.text.casefold())
            and (state is None or (run.answer.state if run.answer else state) == state)
        ]
        if state in ("open", "waiting"):  # only their questions tell these apart
            still = [run for run in runs if run.answer is None]
            runs = [
                run for run in await with_questions(requester_on(connection, settings), still) if run.state == state
            ]
            runs = runs[:limit]
        else:
            runs = await with_questions(requester_on(connection, settings), runs[:limit])
    if as_json:
        write_json({"runs": [_data(run, now) for run in runs]})
    elif runs:
        _write(runs, now)
    else:
        say(f"stretto: tenant {settings.tenant} has no such run")
    return 0


def _write(runs: Sequence[ListedRun], now: datetime) -> None:
    longest_s = max(_seconds(run, now) for run in runs)
    write_table(
        ("run", "asked", "took", "", "state", "playbook", "tokens", "cost", "tries"),
        (
            (
                run.run if len(run.run) <= _ID_CHARS else run.run[:_ID_CHARS],
                f"{run.asked_at.astimezone():%m-%d %H:%M}",
                f"{_seconds(run, now):.1f} s",
                _bar(_seconds(run, now), longest_s),
                run.state,
                run.answer.playbook if run.answer else "",
                _tokens(run) or "",
                dollars(run.answer.usage.cost_usd) if run.answer else "",
                _tries(run),
            )
            for run in runs
        ),
    )


def _seconds(run: ListedRun, now: datetime) -> float:
    return run.seconds if run.seconds is not None else max(0.0, (now - run.asked_at).total_seconds())


def _bar(seconds: float, longest_s: float) -> str:
    return "=" * max(1, round(seconds / longest_s * _BAR_CHARS)) if longest_s else "="


def _tokens(run: ListedRun) -> int:
    return run.answer.usage.input_tokens + run.answer.usage.output_tokens if run.answer else 0


def _failed(run: ListedRun) -> int:
    """Attempts that failed: all but the last of a task, and that too where the task failed."""
    tasks = run.answer.tasks if run.answer else ()
    return sum(one.attempts if one.state == "failed" else max(0, one.attempts - 1) for one in tasks)


def _tries(run: ListedRun) -> str:
    if run.answer is None:
        return ""
    attempts = sum(one.attempts for one in run.answer.tasks)
    failed = _failed(run)
    return f"{attempts}, {failed} failed" if failed else f"{attempts}"


def _data(run: ListedRun, now: datetime) -> dict[str, Any]:
    answer = run.answer
    return {
        "run": run.run,
        "asked_at": run.asked_at.isoformat(),
        "text": run.text,
        "state": run.state,
        "seconds": _seconds(run, now),
        "playbook": answer.playbook if answer else "",
        "tokens": _tokens(run),
        "cost_usd": answer.usage.cost_usd if answer else 0.0,
        "attempts": sum(one.attempts for one in answer.tasks) if answer else 0,
        "failed_attempts": _failed(run),
    }
