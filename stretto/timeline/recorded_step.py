"""RecordedStep: a step of a run's attempts, as it lies in the journal."""

from dataclasses import dataclass
from datetime import datetime

from stretto.bus.connection import Connection
from stretto.bus.envelope import open_envelope
from stretto.bus.errors import DecodeError
from stretto.bus.run_log import stand_ins
from stretto.bus.step import Step
from stretto.bus.subjects import RunKey, Subjects
from stretto.bus.wire import Wire

__all__ = ["AttemptKey", "RecordedStep", "recorded_steps"]

AttemptKey = tuple[str, str, int]
"""Role, task and attempt."""


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """One step: of which attempt, when it was stored (the server's time), and by whom."""

    attempt: AttemptKey
    at: datetime
    agent: str
    step: Step


async def recorded_steps(
    connection: Connection, subjects: Subjects, wire: Wire, key: RunKey, *, from_seq: int = 1
) -> list[RecordedStep]:
    """All steps of a run, in their order. What cannot be read counts for nothing; of several in one place the first counts."""
    pattern = subjects.steps_of_run(key)
    head = pattern.removesuffix(">")
    found: dict[str, RecordedStep] = {}
    for stored in await connection.jetstream.read(subjects.runs_stream(key.shard), pattern, from_seq=from_seq):
        tokens = stored.subject.removeprefix(head).split(".")
        if len(tokens) != 4 or not tokens[2].isdecimal() or stored.subject in found:  # an intent has five
            continue
        try:
            envelope = await wire.unpack(stored.data, stored.headers, defaults=stand_ins(stored, key))
            step = open_envelope(envelope, Step)
        except DecodeError:
            continue
        if (envelope.tenant, envelope.run) == (key.tenant, key.run):
            attempt = (tokens[0], tokens[1], int(tokens[2]))
            found[stored.subject] = RecordedStep(attempt, stored.at, envelope.sender, step)
    return list(found.values())
