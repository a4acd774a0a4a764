"""Dead system: what the commands about dead letters work with, on a connection to what is stored."""

import contextlib
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from stretto.bus.artifacts import Artifacts
from stretto.bus.connection import Connection
from stretto.bus.dead_letter_office import DeadLetterOffice, KeptLetter
from stretto.bus.dead_letter_replay import DeadLetterReplay
from stretto.bus.failpoints import arm
from stretto.bus.settlements import Settlements
from stretto.bus.wire import Wire
from stretto.cli.errors import UsageFailed
from stretto.cli.running_system import open_log
from stretto.shared.contracts.task import TaskResult
from stretto.shared.settings import Settings

__all__ = ["DeadSystem", "letter_office", "open_dead_system"]


@dataclass(frozen=True, slots=True)
class DeadSystem:
    """Everything about dead letters, in the name of one principal."""

    office: DeadLetterOffice
    replay: DeadLetterReplay

    async def letter(self, number: int) -> KeptLetter:
        """The letter of this number.

        Raises:
            UsageFailed: there is none.
        """
        kept = await self.office.find(number)
        if kept is None:
            raise UsageFailed(f"there is no dead letter {number}: `stretto dead list --settled` shows all")
        return kept


def letter_office(settings: Settings, connection: Connection) -> DeadLetterOffice:
    """The office alone, for those who only count."""
    return _system(settings, connection).office


@contextlib.asynccontextmanager
async def open_dead_system(settings: Settings) -> AsyncGenerator[DeadSystem]:
    """On the running system, or on a server alone, started on its store.

    Raises:
        NotReachable: nothing was ever stored there.
        Unreachable, NotPermitted: see `Connection.open`.
    """
    arm(os.environ)
    async with open_log(settings) as connection:
        yield _system(settings, connection)


def _system(settings: Settings, connection: Connection) -> DeadSystem:
    deployment = settings.deployment
    subjects = deployment.subjects
    wire = Wire(artifacts=Artifacts(connection=connection, subjects=subjects))
    settlements = Settlements(connection=connection, subjects=subjects, wire=wire, principal=settings.principal)
    return DeadSystem(
        office=DeadLetterOffice(connection=connection, subjects=subjects, wire=wire, settlements=settlements),
        replay=DeadLetterReplay(
            connection=connection, deployment=deployment, wire=wire, settlements=settlements, result_type=TaskResult
        ),
    )
