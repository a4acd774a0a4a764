"""Runs: the list of what was asked lately and what became of it."""

from typing import Any, Final

from stretto.cli.latest_runs import ListedRun, latest_runs, with_questions
from stretto.cli.output import write_json, write_table
from stretto.cli.running_system import open_log
from stretto.shared.requester import requester_on
from stretto.shared.settings import Settings

__all__ = ["list_runs"]

_SHOWN_CHARS: Final = 60


async def list_runs(settings: Settings, *, limit: int, as_json: bool) -> int:
    """The tenant's latest runs, newest first."""
    async with open_log(settings) as connection:
        runs = await latest_runs(settings, connection)
        runs = await with_questions(requester_on(connection, settings), runs[:limit])
    if as_json:
        write_json({"runs": [_data(run) for run in runs]})
    else:
        write_table(
            ("run", "asked", "state", "time", "by", "request"),
            (
                (
                    run.run,
                    f"{run.asked_at.astimezone():%Y-%m-%d %H:%M:%S}",
                    "waits for a person" if run.state == "waiting" else run.state,
                    "" if run.seconds is None else f"{run.seconds:.1f} s",
                    run.principal,
                    _short(run.text),
                )
                for run in runs
            ),
        )
    return 0


def _data(run: ListedRun) -> dict[str, Any]:
    return {
        "run": run.run,
        "asked_at": run.asked_at.isoformat(),
        "principal": run.principal,
        "text": run.text,
        "state": run.state,
        "questions": list(run.questions),
        "answered": run.answer.answered if run.answer else False,
        "seconds": run.seconds,
        "reason": run.answer.reason if run.answer else "",
    }


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARS else f"{line[: _SHOWN_CHARS - 1]}…"
