"""Standing: where a run stands, as supervisors see it in its log."""

from stretto.bus.artifacts import Artifacts
from stretto.bus.connection import Connection
from stretto.bus.run_log import RunLog
from stretto.bus.subjects import RunKey
from stretto.bus.wire import Wire
from stretto.shared.settings import Settings
from stretto.supervisor.reading import FactReader
from stretto.supervisor.state import RunState

__all__ = ["standing_of", "waits_for_people"]


async def standing_of(connection: Connection, settings: Settings, run: str) -> RunState:
    """The run's state, from its log."""
    subjects = settings.deployment.subjects
    wire = Wire(artifacts=Artifacts(connection=connection, subjects=subjects))
    log = RunLog(connection=connection, subjects=subjects, wire=wire)
    key = RunKey.of(settings.tenant, run, settings.shards)
    return await FactReader(subjects=subjects, wire=wire).fold(await log.fold(key))


def waits_for_people(state: RunState) -> bool:
    """Whether nothing goes on in the run before a person decides."""
    tasks = state.in_progress
    return state.end is None and bool(tasks) and all(task.status == "parked" for task in tasks)
