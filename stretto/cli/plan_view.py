"""PlanView: what is known of a run's plan while it is at work, and how it looks."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from stretto.cli.answer_view import outcome
from stretto.cli.terminal import printable
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.decision import Decision, PlanMade, PlanningAsked
from stretto.shared.contracts.progress import Progress
from stretto.shared.contracts.task import TaskResult

if TYPE_CHECKING:
    from rich.table import Table

    from stretto.shared.requester import Event

__all__ = ["PlanView", "TaskLine"]

State = Literal["planned", "waiting", "working", "done", "failed", "not needed", "not done"]
_STYLES: dict[State, str] = {
    "planned": "dim",
    "waiting": "yellow",
    "working": "cyan",
    "done": "green",
    "failed": "red",
    "not needed": "dim",
    "not done": "dim",
}


@dataclass(slots=True)
class TaskLine:
    """One task as it is shown.

    Attributes:
        began_s: by the view's clock; None before it began.
        seconds: how long it took, when it is over.
        note: the last thing that its agent said.
    """

    task: str
    role: str
    agent: str = ""
    state: State = "planned"
    began_s: float | None = None
    seconds: float | None = None
    note: str = ""


@dataclass(slots=True)
class PlanView:
    """Takes the events of a run, and shows the tasks in the order in which they became known.

    Attributes:
        headline: what the run as a whole is at.
    """

    clock: Callable[[], float] = time.monotonic
    headline: str = "waiting for a plan"
    tasks: dict[str, TaskLine] = field(default_factory=dict[str, TaskLine])

    def take(self, event: "Event") -> str | None:
        """Take an event; return what it says in one line, or None for what says nothing new."""
        match event.message:
            case Decision() as decision:
                return self._decided(decision)
            case Progress() as progress:
                return self._progress(progress)
            case TaskResult() as result:
                return self._result(result)
            case Answer() as answer:
                return self._answered(answer)
            case _:
                return None

    def rows(self) -> Iterator[tuple[TaskLine, float | None]]:
        """Each task and the seconds that it has taken so far."""
        now = self.clock()
        for line in self.tasks.values():
            running = now - line.began_s if line.began_s is not None else None
            yield line, line.seconds if line.seconds is not None else running

    def __rich__(self) -> "Table":
        from rich.table import Table
        from rich.text import Text

        table = Table(
            title=Text(self.headline), title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0)
        )
        for name, justify in (
            ("task", "left"),
            ("role", "left"),
            ("agent", "left"),
            ("state", "left"),
            ("time", "right"),
        ):
            table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]  # literals, widened by the tuple
        table.add_column("", no_wrap=True, overflow="ellipsis", ratio=1)
        for line, seconds in self.rows():
            table.add_row(
                line.task,
                line.role,
                line.agent,
                Text(line.state, _STYLES[line.state]),
                f"{seconds:.1f} s" if seconds is not None else "",
                Text(line.note, "dim"),
            )
        return table

    def _decided(self, decision: Decision) -> str | None:
        for event in decision.events:
            match event:
                case PlanMade(plan=plan):
                    for task in plan.tasks:
                        self._line(task.id, task.role)
                    self.headline = f"plan: {plan.playbook}" + (f" ({printable(plan.reason)})" if plan.reason else "")
                    return f"{self.headline}: {', '.join(task.id for task in plan.tasks)}"
                case PlanningAsked():
                    self.headline = "the planner makes a plan"
                    return self.headline
                case _:
                    pass
        return None

    def _progress(self, progress: Progress) -> str | None:
        text = printable(progress.text)
        if progress.task is None:
            for line in self.tasks.values():
                if progress.kind == "waiting" and line.role == progress.role and line.state == "planned":
                    line.state = "waiting"
            self.headline = text
            return text
        line = self._line(progress.task, progress.role)
        if progress.kind == "waiting":
            line.state, line.note = "waiting", text
            return f"{line.task}: {text}"
        if line.began_s is None or line.state == "failed":  # the first sign of it, or of another attempt
            line.began_s, line.seconds, line.note = self.clock(), None, ""
        if progress.kind == "note" and line.state != "done":
            line.note = text
        if line.state != "done":
            line.state = "working"
        line.agent = progress.agent
        return f"{line.task} ({progress.agent}): {text}"

    def _result(self, result: TaskResult) -> str:
        line = self._line(result.task, result.role)
        line.agent, line.seconds = result.agent, result.seconds
        if result.failure is None:
            line.state = "done"
            return f"{line.task} ({result.agent}): done in {result.seconds:.1f} s"
        line.state, line.note = "failed", printable(result.failure.message)
        return f"{line.task} ({result.agent}): attempt {result.attempt} failed: {line.note}"

    def _answered(self, answer: Answer) -> str:
        for report in answer.tasks:
            line = self._line(report.task, report.role)
            if report.state == "skipped":
                line.state = "not needed" if answer.state == "completed" else "not done"
        self.headline = printable(outcome(answer))
        return self.headline

    def _line(self, task: str, role: str) -> TaskLine:
        return self.tasks.setdefault(task, TaskLine(task, role))
