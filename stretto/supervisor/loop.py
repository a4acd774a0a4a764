"""Supervisor: serves the shards that fall to it, provisions the bus, and shares the work with the other supervisors."""

import asyncio
import contextlib
import logging
import math
from collections.abc import Sequence
from datetime import UTC, datetime

from stretto import __version__
from stretto.bus.agent_card import SUPERVISOR_ROLE, AgentCard
from stretto.bus.artifacts import Artifacts
from stretto.bus.connection import Connection
from stretto.bus.errors import BusError
from stretto.bus.provisioning import provision
from stretto.bus.registry import Announcer, Registry
from stretto.bus.streams import Deployment, deployment_streams
from stretto.bus.wire import Wire
from stretto.shared.figures import FigureReader
from stretto.shared.memory.service import MEMORY_ROLE
from stretto.shared.telemetry.counters import begin_runs
from stretto.shared.telemetry.deployment_gauges import DeploymentGauges
from stretto.supervisor.abandoned import AbandonedTasks
from stretto.supervisor.choose import Chooser
from stretto.supervisor.decide import Limits
from stretto.supervisor.dispatcher import Dispatcher
from stretto.supervisor.roles import BUILT_IN_ROLES, PLANNER
from stretto.supervisor.shard import KEPT_STATES, Shard

__all__ = ["SUPERVISOR_ROLE", "Supervisor"]

_log = logging.getLogger(__name__)
_SERVICES = frozenset({SUPERVISOR_ROLE, MEMORY_ROLE})
_LOOK_AROUND_S = 2.0


class Supervisor:
    """One supervisor process. Any number may run: the server hands each shard to one of them at a time.

    `run` returns after `stop`, when the messages in hand are handled.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        deployment: Deployment,
        wire: Wire,
        artifacts: Artifacts,
        chooser: Chooser,
        limits: Limits,
        instance: str,
        kept_states: int = KEPT_STATES,
    ) -> None:
        self._connection = connection
        self._deployment = deployment
        self._artifacts = artifacts
        self._instance = instance
        self._started_at = datetime.now(UTC)
        self._registry = Registry(connection=connection, subjects=deployment.subjects)
        self._dispatcher = Dispatcher(connection=connection, deployment=deployment, wire=wire, instance=instance)
        self._shards = [
            Shard(
                number=number,
                connection=connection,
                deployment=deployment,
                wire=wire,
                registry=self._registry,
                chooser=chooser,
                dispatcher=self._dispatcher,
                limits=limits,
                instance=instance,
                kept_states=kept_states,
            )
            for number in range(deployment.shards)
        ]
        self._abandoned = AbandonedTasks(connection=connection, deployment=deployment, wire=wire, instance=instance)
        self._gauges = DeploymentGauges(
            figures=FigureReader(
                connection=connection, deployment=deployment, wire=wire, registry=self._registry, lately_s=None
            ),
            is_ours=self._speaks_for_all,
        )
        self._reconnected = asyncio.Event()
        self._server_id = connection.server_id

    async def run(self) -> None:
        """Serve until `stop`.

        Raises:
            StreamDiffers, Misconfigured: the bus is not as declared; nothing was changed.
        """
        begin_runs()
        await self._provision()
        forget = self._connection.on_reconnect(self._reconnected.set)
        announcer = Announcer(connection=self._connection, subjects=self._deployment.subjects, card=self._card)
        try:
            async with self._registry, asyncio.TaskGroup() as group:
                beside = [
                    group.create_task(work)
                    for work in (announcer.run(), self._look_around(), self._resume(), self._gauges.run())
                ]
                try:
                    async with asyncio.TaskGroup() as serving:
                        serving.create_task(self._abandoned.run())
                        for shard in self._shards:
                            serving.create_task(shard.run())
                finally:
                    for task in beside:
                        task.cancel()
        finally:
            forget()

    @property
    def shards_held(self) -> int:
        """How many shards the server delivers to this process, as far as is known here."""
        return sum(shard.is_ours for shard in self._shards)

    @property
    def open_runs(self) -> int:
        """How many open runs this process looks after. Those that wait for people or the clock are nobody's."""
        return sum(shard.open_runs for shard in self._shards)

    @property
    def kept_states(self) -> int:
        """How many runs' states are in memory."""
        return sum(shard.kept_states for shard in self._shards)

    def stop(self) -> None:
        """Take in no more."""
        self._abandoned.stop()
        for shard in self._shards:
            shard.stop()

    def _card(self) -> AgentCard:
        return AgentCard(
            role=SUPERVISOR_ROLE,
            instance=self._instance,
            description="Plans runs, puts their tasks on the bus, and merges the replies.",
            version=__version__,
            started_at=self._started_at,
            busy=self.open_runs,
        )

    def _speaks_for_all(self) -> bool:
        """Whether it falls to this supervisor to tell what holds of the whole deployment. Whom an idle shard is pinned to, nobody knows."""
        alive = self._registry.alive(SUPERVISOR_ROLE)
        return bool(alive) and alive[0].instance == self._instance

    async def _provision(self) -> None:
        for spec in deployment_streams(self._deployment):
            await provision(self._connection, spec)
        await self._artifacts.provision(replicas=self._deployment.replicas)
        await self._provision_roles([*(offer.role for offer in BUILT_IN_ROLES), PLANNER])

    async def _provision_roles(self, roles: Sequence[str]) -> None:
        for role in roles:
            await self._dispatcher.provision(role)

    async def _look_around(self) -> None:
        """Give roles that turned up their queues, and shards over this process's share to the others."""
        while True:
            await asyncio.sleep(_LOOK_AROUND_S)
            try:
                await self._provision_roles(sorted(self._registry.roles() - _SERVICES))
                await self._share_shards()
            except BusError as error:
                _log.warning("could not look after roles and shards: %s", error)

    async def _share_shards(self) -> None:
        supervisors = len(self._registry.alive(SUPERVISOR_ROLE))
        ours = [shard for shard in self._shards if shard.is_ours]
        share = math.ceil(len(self._shards) / max(1, supervisors))
        if self._deployment.pinned:
            for shard in ours[share:]:
                await shard.hand_over()

    async def _resume(self) -> None:
        """After a reconnect to another server process, have everything that is due queued again.

        And once more when what was in work then is done: only then can all be seen that the server has forgotten to remove.
        """
        while True:
            await self._reconnected.wait()
            self._reconnected.clear()
            if self._connection.server_id == self._server_id:
                continue
            self._server_id = self._connection.server_id
            await self._queue_again()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2 * self._deployment.task_lease_s):
                    await self._reconnected.wait()
                    continue
            await self._queue_again()

    async def _queue_again(self) -> None:
        with contextlib.suppress(BusError):  # away again: what it lost comes when a lease has run out
            await self._dispatcher.mend()
        for shard in self._shards:
            shard.republish()
