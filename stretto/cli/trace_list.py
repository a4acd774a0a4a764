"""trace_list: the latest runs with what they took, chosen by how they went."""

import shutil
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from stretto.cli.latest_runs import ListedRun, latest_runs, with_questions
from stretto.cli.letter_filter import point_in_time
from stretto.cli.output import write_json
from stretto.cli.running_system import open_log
from stretto.cli.terminal import say
from stretto.cli.trace import write_text
from stretto.cli.trace_list_view import failed_attempts, runs_text, seconds_of, tokens_of
from stretto.shared.contracts.usage import Usage
from stretto.shared.requester import requester_on
from stretto.shared.settings import Settings

__all__ = ["Choice", "list_traces"]

State = Literal["completed", "failed", "cancelled", "rejected", "open", "waiting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which runs are wanted: those for which all that is given holds.

    Attributes:
        since: asked then or later.
        slower_s: took longer, or has by now.
        playbook: is over, and followed this one.
        text: its request has this in it, in capitals or not.
    """

    state: State | None = None
    since: datetime | None = None
    slower_s: float | None = None
    playbook: str | None = None
    text: str | None = None

    def takes(self, run: ListedRun, now: datetime) -> bool:
        """Whether it may be one of them, as far as can be told without its questions: an open run may be waiting, and the other way."""
        return (
            self._state_fits(run)
            and (self.since is None or run.asked_at >= self.since)
            and (self.slower_s is None or seconds_of(run, now) > self.slower_s)
            and (self.playbook is None or (run.answer is not None and run.answer.playbook == self.playbook))
            and (self.text is None or self.text.casefold() in run.text.casefold())
        )

    def _state_fits(self, run: ListedRun) -> bool:
        if self.state is None:
            return True
        return self.state in ("open", "waiting") if run.answer is None else run.answer.state == self.state


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
    choice = Choice(
        state=state,
        since=None if since is None else point_in_time(since, now=now),
        slower_s=slower_s,
        playbook=playbook,
        text=text,
    )
    async with open_log(settings) as connection:
        runs = [run for run in await latest_runs(settings, connection) if choice.takes(run, now)]
        requester = requester_on(connection, settings)
        if state in ("open", "waiting"):  # only their questions tell these apart
            runs = [run for run in await with_questions(requester, runs) if run.state == state][:limit]
        else:
            runs = await with_questions(requester, runs[:limit])
    if as_json:
        write_json({"runs": [_data(run, now) for run in runs]})
    elif runs:
        write_text(runs_text(runs, now=now, width=_columns()))
    else:
        say(f"stretto: tenant {settings.tenant} has no such run")
    return 0


def _columns() -> int | None:
    """How wide the terminal is; None where stdout is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _data(run: ListedRun, now: datetime) -> dict[str, Any]:
    answer = run.answer
    usage = answer.usage if answer else Usage()
    return {
        "run": run.run,
        "asked_at": run.asked_at.isoformat(),
        "principal": run.principal,
        "text": run.text,
        "state": run.state,
        "questions": list(run.questions),
        "answered": answer.answered if answer else False,
        "seconds": seconds_of(run, now),
        "reason": answer.reason if answer else "",
        "playbook": answer.playbook if answer else "",
        "usage": usage.model_dump(mode="json"),
        "tokens": tokens_of(run),
        "cost_usd": usage.cost_usd,
        "attempts": sum(one.attempts for one in answer.tasks) if answer else 0,
        "failed_attempts": failed_attempts(run),
    }
