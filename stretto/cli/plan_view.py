"""PlanView: what is known of a run's plan while it is at work, and how it looks."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from stretto.cli.answer_view import outcome
from stretto.cli.terminal import printable
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.decision import Decision, PlanMade, PlanningAsked
from stretto.shared.contracts.plan import PlannedTask
from stretto.shared.contracts.progress import Progress
from stretto.shared.contracts.question import Question
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.task import TaskResult
from stretto.shared.contracts.timer import TimerFired
from stretto.supervisor.retries import Retries

if TYPE_CHECKING:
    from rich.table import Table

    from stretto.shared.requester import Event

__all__ = ["PlanView", "TaskLine"]

State = Literal["planned", "waiting", "working", "asks you", "delayed", "done", "failed", "not needed", "not done"]
_STYLES: dict[State, str] = {
    "planned": "dim",
    "waiting": "yellow",
    "working": "cyan",
    "asks you": "bold magenta",
    "delayed": "yellow",
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
        again_s: when it is tried again, by the view's clock.
    """

    task: str
    role: str
    agent: str = ""
    state: State = "planned"
    began_s: float | None = None
    seconds: float | None = None
    note: str = ""
    again_s: float | None = None


@dataclass(slots=True)
class PlanView:
    """Takes the events of a run, and shows the tasks in the order in which they became known.

    Attributes:
        headline: what the run as a whole is at.
    """

    clock: Callable[[], float] = time.monotonic
    headline: str = "waiting for a plan"
    tasks: dict[str, TaskLine] = field(default_factory=dict[str, TaskLine])
    _request_seq: int = 0
    _planned: dict[str, PlannedTask] = field(default_factory=dict[str, PlannedTask])
    _retries: Retries = field(default_factory=Retries)
    _questions: dict[str, Question] = field(default_factory=dict[str, Question])

    def take(self, event: "Event") -> str | None:
        """Take an event; return what it says in one line, or None for what says nothing new."""
        match event.message:
            case Request():
                self._request_seq = self._request_seq or event.seq
                return None
            case Decision() as decision:
                return self._decided(decision)
            case Progress() as progress:
                return self._progress(progress)
            case TaskResult() as result:
                return self._result(result)
            case Question() as question:
                return self._asked(question)
            case Command(verb=verb, question=str(question)) as command:
                return self._settled(
                    question, f"{event.sender} says {verb}{f': {command.text}' if command.text else ''}"
                )
            case TimerFired(name=name):
                return self._settled(name, "nobody decided in time")
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
                Text(self._note(line), "dim"),
            )
        return table

    def _decided(self, decision: Decision) -> str | None:
        for event in decision.events:
            match event:
                case PlanMade(plan=plan, retries=retries):
                    self._retries = Retries(retries, seed=str(self._request_seq))
                    for task in plan.tasks:
                        self._planned[task.id] = task
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
        if line.began_s is None or line.state in ("failed", "delayed"):  # the first sign of it, or of another attempt
            line.began_s, line.seconds, line.note = self.clock(), None, ""
        if progress.kind == "note" and line.state != "done":
            line.note = text
        if line.state != "done":
            line.state = "working"
        line.agent = progress.agent
        return f"{line.task} ({progress.agent}): {text}" if progress.kind != "text" else None

    def _result(self, result: TaskResult) -> str:
        line = self._line(result.task, result.role)
        line.agent, line.seconds = result.agent, result.seconds
        if result.failure is None:
            line.state = "done"
            return f"{line.task} ({result.agent}): done in {result.seconds:.1f} s"
        line.state, line.note = "failed", printable(result.failure.message)
        said = f"{line.task} ({result.agent}): attempt {result.attempt} failed: {line.note}"
        # A later version of a task (`draft-r2`) is tried as the task of the plan is.
        planned = self._planned.get(line.task) or self._planned.get(line.task.rpartition("-r")[0])
        if planned is None:
            return said
        delay_s = self._retries.next_delay_s(line.task, planned, result.failure, result.attempt)
        if delay_s is None:
            return said
        line.state, line.again_s = "delayed", self.clock() + delay_s
        return f"{said}: next try in {delay_s:.1f} s"

    def _asked(self, question: Question) -> str:
        self._questions[question.id] = question
        line = self._line(question.task, question.role)
        line.state, line.note = "asks you", printable(" ".join(question.text.split()))
        return f"{line.task} asks a person ({question.id}): {line.note}"

    def _settled(self, question_id: str, how: str) -> str | None:
        question = self._questions.pop(question_id, None)
        if question is None:  # another timer, or what was decided before
            return None
        line = self._line(question.task, question.role)
        line.state, line.note = "planned", printable(" ".join(how.split()))
        return f"{line.task}: {question_id}: {line.note}"

    def _note(self, line: TaskLine) -> str:
        if line.state != "delayed" or line.again_s is None:
            return line.note
        return f"next try in {max(0.0, line.again_s - self.clock()):.0f} s: {line.note}"

    def _answered(self, answer: Answer) -> str:
        for report in answer.tasks:
            line = self._line(report.task, report.role)
            if report.state == "skipped":
                line.state = "not needed" if answer.state == "completed" else "not done"
        self.headline = printable(outcome(answer))
        return self.headline

    def _line(self, task: str, role: str) -> TaskLine:
        return self.tasks.setdefault(task, TaskLine(task, role))
