"""StoryReader: reads what is stored of a run, and tells its story."""

from stretto.bus.artifacts import Artifacts
from stretto.bus.connection import Connection
from stretto.bus.run_log import RunLog
from stretto.bus.streams import Deployment
from stretto.bus.subjects import RunKey
from stretto.bus.tracing import trace_of
from stretto.bus.wire import Wire
from stretto.supervisor.reading import FactReader
from stretto.timeline.build import build
from stretto.timeline.export import Export, export
from stretto.timeline.recorded_step import recorded_steps
from stretto.timeline.span_log import FoundSpans, SpanLog
from stretto.timeline.story import Story

__all__ = ["StoryReader"]


class StoryReader:
    """Tells the stories of a deployment's runs."""

    def __init__(self, *, connection: Connection, deployment: Deployment) -> None:
        self._connection = connection
        self._deployment = deployment
        self._subjects = deployment.subjects
        self._wire = Wire(artifacts=Artifacts(connection=connection, subjects=self._subjects))
        self._log = RunLog(connection=connection, subjects=self._subjects, wire=self._wire)
        self._facts = FactReader(subjects=self._subjects, wire=self._wire)
        self._spans = SpanLog(connection=connection, subjects=self._subjects)

    async def read(self, tenant: str, run: str) -> Story | None:
        """The story of a run as far as it goes; None where nothing is known of it.

        Raises:
            ValueError: no run can have such an id.
            TimedOut, StreamMissing: see `stretto.bus.errors`.
        """
        read = await self._read(tenant, run)
        return read[0] if read else None

    async def export(self, tenant: str, run: str) -> Export | None:
        """The run's spans for other viewers; what spans do not tell is made from the log. None where nothing is known of the run.

        Raises:
            as `read`.
        """
        read = await self._read(tenant, run)
        return export(read[0], read[1].batches) if read else None

    async def _read(self, tenant: str, run: str) -> tuple[Story, FoundSpans] | None:
        key = RunKey.of(tenant, run, self._deployment.shards)
        facts = await self._facts.facts(await self._log.fold(key))
        if not facts:
            return None
        steps = await recorded_steps(self._connection, self._subjects, self._wire, key, from_seq=facts[0].seq)
        found = await self._spans.of_run(tenant, run, [*(one.at for one in facts), *(one.at for one in steps)])
        story = build(key, facts, steps, found.of(trace_of(tenant, run)), cut=found.cut)
        return (story, found) if story else None
