"""DeploymentGauges: the figures of a whole deployment as metrics, told by one of its processes only: so sums over processes are right."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from stretto import __version__
from stretto.bus.conventions import QUEUE_STATE, ROLE
from stretto.bus.errors import BusError
from stretto.shared.figures import Figures
from stretto.shared.telemetry.metered import is_metered

__all__ = ["DeploymentGauges", "FigureSource"]

_log = logging.getLogger(__name__)
_TOLD: Final[list["DeploymentGauges"]] = []
"""Those that run in this process."""


class FigureSource(Protocol):
    """Reads the figures, as `FigureReader` does."""

    async def read(self) -> Figures: ...


class DeploymentGauges:
    """Reads the figures every `every_s` seconds while `is_ours` says that it falls to this process, and tells what it read last.

    Args:
        figures: its `lately` is not told: counters are.
    """

    def __init__(self, *, figures: FigureSource, is_ours: Callable[[], bool], every_s: float = 2.0) -> None:
        self._reader = figures
        self._is_ours = is_ours
        self._every_s = every_s
        self.figures: Figures | None = None

    async def run(self) -> None:
        """Tell until cancelled; nothing, where no metrics are told."""
        if not is_metered():
            return
        _TOLD.append(self)
        try:
            while True:
                self.figures = await self._read() if self._is_ours() else None
                await asyncio.sleep(self._every_s)
        finally:
            _TOLD.remove(self)

    async def _read(self) -> Figures | None:
        """None while the bus is away: an old figure is worse than none."""
        try:
            return await self._reader.read()
        except BusError as error:
            _log.debug("the deployment's figures cannot be read now: %s", error)
            return None


def _gauge(name: str, unit: str, description: str, observe: Callable[[Figures], Iterator[Observation]]) -> None:
    def collect(_: CallbackOptions) -> Iterable[Observation]:
        """In whichever thread collects."""
        for figures in [one.figures for one in list(_TOLD)]:
            if figures is not None:
                yield from observe(figures)

    _METER.create_observable_gauge(name, [collect], unit, description)


def _depth(figures: Figures) -> Iterator[Observation]:
    for one in figures.roles:
        if one.queue is not None:
            yield Observation(one.queue.waiting, {ROLE: one.role, QUEUE_STATE: "waiting"})
            yield Observation(one.queue.in_work, {ROLE: one.role, QUEUE_STATE: "in_work"})
            yield Observation(one.queue.suspects, {ROLE: one.role, QUEUE_STATE: "suspect"})


def _age(figures: Figures) -> Iterator[Observation]:
    for one in figures.roles:
        if one.queue is not None:
            yield Observation(one.queue.oldest_s, {ROLE: one.role})


def _alive(figures: Figures) -> Iterator[Observation]:
    for one in figures.roles:
        yield Observation(one.alive, {ROLE: one.role})


def _slots(figures: Figures) -> Iterator[Observation]:
    for one in figures.roles:
        if one.queue is not None:
            yield Observation(one.slots, {ROLE: one.role})


def _busy(figures: Figures) -> Iterator[Observation]:
    for one in figures.roles:
        if one.queue is not None:
            yield Observation(one.busy, {ROLE: one.role})


def _in_flight(figures: Figures) -> Iterator[Observation]:
    yield Observation(figures.runs.in_flight)


def _parked(figures: Figures) -> Iterator[Observation]:
    if figures.runs.parked is not None:
        yield Observation(figures.runs.parked)


def _backlog(figures: Figures) -> Iterator[Observation]:
    yield Observation(figures.runs.backlog)


def _letters(figures: Figures) -> Iterator[Observation]:
    yield Observation(figures.dead_letters)


_METER: Final = metrics.get_meter("stretto", __version__)
_gauge("stretto.queue.depth", "{task}", "Tasks of a role that wait, are in work, or are suspects", _depth)
_gauge("stretto.queue.age", "s", "How long the oldest task of a role has waited that no agent has yet", _age)
_gauge("stretto.agents.alive", "{process}", "Processes that serve a role", _alive)
_gauge("stretto.agents.slots", "{task}", "Tasks that the agents of a role can do at once", _slots)
_gauge("stretto.agents.busy", "{task}", "Tasks that the agents of a role are doing", _busy)
_gauge("stretto.runs.in_flight", "{run}", "Open runs that supervisors look after", _in_flight)
_gauge("stretto.runs.parked", "{run}", "Open runs that wait for people or the clock alone", _parked)
_gauge("stretto.runs.backlog", "{message}", "Messages of runs that no supervisor has taken in yet", _backlog)
_gauge("stretto.dead_letters", "{letter}", "Dead letters that are not settled", _letters)
