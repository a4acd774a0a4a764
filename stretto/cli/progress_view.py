"""ProgressView: what a command is doing, at stderr: live in a terminal, in plain lines elsewhere, or not at all."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from stretto.cli.terminal import printable, say
from stretto.shared.memory.ingest_report import IngestProgress

if TYPE_CHECKING:
    from rich.console import Group

    from stretto.cli.draft_view import DraftView
    from stretto.cli.plan_view import PlanView
    from stretto.shared.requester import Event

__all__ = ["LineView", "LiveView", "ProgressView", "QuietView", "progress_view"]


class ProgressView(Protocol):
    """Shows one command's course."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def step(self, text: str) -> None:
        """What happens now, before there is a plan."""
        ...

    def ingest(self, progress: IngestProgress) -> None:
        """How far the documents are."""
        ...

    def event(self, event: "Event") -> None:
        """Something happened in the run."""
        ...


def progress_view(*, quiet: bool) -> ProgressView:
    """The view that suits stderr."""
    if quiet:
        return QuietView()
    from stretto.cli.draft_view import DraftView
    from stretto.cli.plan_view import PlanView

    return LiveView(plan=PlanView(), drafts=DraftView()) if sys.stderr.isatty() else LineView(plan=PlanView())


class QuietView:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def step(self, text: str) -> None:
        return None

    def ingest(self, progress: IngestProgress) -> None:
        return None

    def event(self, event: "Event") -> None:
        return None


class LineView(QuietView):
    """A line for each thing that happens, with the seconds since the beginning."""

    def __init__(self, *, plan: "PlanView") -> None:
        self._plan = plan
        self._began_s = time.monotonic()
        self._documents = (0, 0)

    def step(self, text: str) -> None:
        say(f"{time.monotonic() - self._began_s:5.1f} s  {text}")

    def ingest(self, progress: IngestProgress) -> None:
        # A line for each tenth, however many documents there are.
        tenth = progress.done * 10 // max(1, progress.total)
        if (tenth, progress.passages if tenth == 10 else 0) != self._documents:
            self._documents = (tenth, progress.passages if tenth == 10 else 0)
            self.step(f"documents: {progress.done} of {progress.total}, {progress.passages} new passages")

    def event(self, event: "Event") -> None:
        line = self._plan.take(event)
        if line is not None:
            self.step(line)


class LiveView:
    """A live display: what happens now, a progress bar for documents, then the plan as it works, and what is being written."""

    def __init__(self, *, plan: "PlanView", drafts: "DraftView") -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._plan = plan
        self._drafts = drafts
        self._step = ""
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("documents"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[passages]} new passages"),
            TextColumn("{task.fields[source]}", style="dim", markup=False),
            console=self._console,
        )
        self._documents = self._bar.add_task("", total=None, passages=0, source="", visible=False)
        self._live = Live(get_renderable=self._render, console=self._console, refresh_per_second=10)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._step = ""
        self._live.__exit__(kind, error, trace)

    def step(self, text: str) -> None:
        self._step = text

    def ingest(self, progress: IngestProgress) -> None:
        self._step = ""
        self._bar.update(
            self._documents,
            completed=progress.done,
            total=progress.total,
            passages=progress.passages,
            source=printable(progress.source)[-40:],
            visible=True,
        )

    def event(self, event: "Event") -> None:
        self._step = ""
        self._plan.take(event)
        self._drafts.take(event)

    def _render(self) -> "Group":
        from rich.console import Group, RenderableType
        from rich.text import Text

        parts: list[RenderableType] = []
        if self._bar.tasks[0].visible:
            parts.append(self._bar)
        if self._plan.tasks or self._plan.headline != "waiting for a plan":
            parts += [self._plan, self._drafts]
        if self._step:
            parts.append(Text(self._step, "dim"))
        return Group(*parts)
