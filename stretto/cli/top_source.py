"""TopSource: reads what `stretto top` shows, over one connection."""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from stretto.bus.address import shown
from stretto.bus.artifacts import Artifacts
from stretto.bus.connection import Connection
from stretto.bus.registry import Registry
from stretto.bus.wire import Wire
from stretto.cli.roll import call_roll
from stretto.cli.top_moment import Moment
from stretto.cli.top_pulse import Pulse, listening
from stretto.shared.figures import FigureReader
from stretto.shared.settings import Settings

__all__ = ["TopSource", "open_source"]

_TIMEOUT_S: Final = 3.0


class TopSource:
    """One deployment at `url`; `pulse` is None where nobody listens to what happens."""

    def __init__(
        self,
        *,
        connection: Connection,
        registry: Registry,
        reader: FigureReader,
        pulse: Pulse | None,
        url: str,
        prefix: str,
    ) -> None:
        self.url = url
        self._connection = connection
        self._registry = registry
        self._reader = reader
        self._pulse = pulse
        self._prefix = prefix
        self._instances: frozenset[str] | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the server is there, as far as is known."""
        return self._connection.is_connected

    async def read(self) -> Moment:
        """What is going on now.

        Raises:
            StreamMissing: there is no deployment of this prefix.
            TimedOut, Unreachable, NotPermitted: as they say.
        """
        figures = await self._reader.read()
        cards = self._registry.alive()
        now = datetime.now(UTC)
        if self._pulse is not None:
            self._tell_comings(self._pulse, frozenset(card.instance for card in cards), now)
        return Moment(
            at=now.astimezone(),
            url=shown(self.url),
            prefix=self._prefix,
            figures=figures,
            cards=cards,
            rates=self._pulse.rates(now) if self._pulse else None,
            happenings=self._pulse.happenings() if self._pulse else (),
        )

    def _tell_comings(self, pulse: Pulse, instances: frozenset[str], now: datetime) -> None:
        if self._instances is not None:
            for instance in sorted(instances - self._instances):
                pulse.note(f"{instance} is there", now=now)
            for instance in sorted(self._instances - instances):
                pulse.note(f"{instance} has gone", now=now)
        self._instances = instances


@contextlib.asynccontextmanager
async def open_source(settings: Settings, url: str, *, pulse: Pulse | None = None) -> AsyncGenerator[TopSource]:
    """Connect, and wait until everybody had the time to announce himself.

    Raises:
        Unreachable, NotPermitted: see `Connection.open`.
    """
    deployment = settings.deployment
    subjects = deployment.subjects
    options = replace(settings.connection(url, name="top"), timeout_s=_TIMEOUT_S)
    async with contextlib.AsyncExitStack() as stack:
        connection = await stack.enter_async_context(await Connection.open(options))
        registry = await stack.enter_async_context(Registry(connection=connection, subjects=subjects))
        if pulse is not None:
            await stack.enter_async_context(listening(connection, subjects, pulse))
        await call_roll(connection, subjects)
        yield TopSource(
            connection=connection,
            registry=registry,
            reader=FigureReader(
                connection=connection,
                deployment=deployment,
                wire=Wire(artifacts=Artifacts(connection=connection, subjects=subjects)),
                registry=registry,
            ),
            pulse=pulse,
            url=url,
            prefix=settings.prefix,
        )
