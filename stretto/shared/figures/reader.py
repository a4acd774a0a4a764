"""FigureReader: reads a deployment's figures, cheaply enough for once a second."""

import asyncio
from typing import Final

from stretto.bus.agent_card import AgentCard
from stretto.bus.connection import Connection
from stretto.bus.dead_letter_office import DeadLetterOffice
from stretto.bus.errors import StreamMissing
from stretto.bus.registry import Registry
from stretto.bus.settlements import Settlements
from stretto.bus.streams import Deployment
from stretto.bus.wire import Wire
from stretto.shared.figures.endings import Endings
from stretto.shared.figures.figures import Figures, Queue, RoleFigures
from stretto.shared.figures.paced import Paced
from stretto.shared.figures.queues import Queues
from stretto.shared.figures.runs import Runs

__all__ = ["LATELY_S", "FigureReader"]

LATELY_S: Final = 300.0


class FigureReader:
    """Reads figures again and again: it remembers what need not be read twice.

    Args:
        registry: an opened one: it knows who is alive.
        lately_s: how far back `Figures.lately` goes; None: it is not read.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        deployment: Deployment,
        wire: Wire,
        registry: Registry,
        lately_s: float | None = LATELY_S,
    ) -> None:
        self._connection = connection
        self._registry = registry
        self._queues = Queues(connection=connection, deployment=deployment)
        self._runs = Runs(connection=connection, deployment=deployment)
        self._endings = (
            None
            if lately_s is None
            else Endings(connection=connection, deployment=deployment, wire=wire, window_s=lately_s)
        )
        subjects = deployment.subjects
        self._dead_stream = subjects.stream("DEAD")
        self._office = DeadLetterOffice(
            connection=connection,
            subjects=subjects,
            wire=wire,
            settlements=Settlements(connection=connection, subjects=subjects, wire=wire, principal="unknown"),
        )
        self._letters = Paced(self._unsettled)
        self._known_letters: tuple[tuple[int, int], int] | None = None

    async def read(self) -> Figures:
        """The figures of now.

        Raises:
            StreamMissing: there is no deployment of this prefix.
            TimedOut, Unreachable, NotPermitted: as they say.
        """
        cards = self._registry.alive()
        queues, (at, runs), letters = await asyncio.gather(
            self._queues.read(), self._runs.read(cards), self._letters.get()
        )
        return Figures(
            at=at,
            roles=_roles(cards, queues),
            runs=runs,
            dead_letters=letters,
            lately=await self._endings.read(at) if self._endings else None,
        )

    async def _unsettled(self) -> int:
        """Letters are counted again only when one was written, settled, or became too old."""
        info = await self._connection.jetstream.api(f"STREAM.INFO.{self._dead_stream}")
        if "error" in info:
            raise StreamMissing(f"there is no stream {self._dead_stream}: is a supervisor running for this prefix?")
        state = int(info["state"]["first_seq"]), int(info["state"]["last_seq"])
        if self._known_letters is None or self._known_letters[0] != state:
            self._known_letters = (state, await self._office.unsettled())
        return self._known_letters[1]


def _roles(cards: list[AgentCard], queues: dict[str, Queue]) -> tuple[RoleFigures, ...]:
    found: list[RoleFigures] = []
    for role in sorted({*queues, *(card.role for card in cards)}):
        alive = [card for card in cards if card.role == role]
        slots, busy = sum(card.slots for card in alive), sum(card.busy for card in alive)
        found.append(RoleFigures(role, len(alive), slots, busy, queues.get(role)))
    return tuple(found)
