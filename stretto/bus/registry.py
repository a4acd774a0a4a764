"""Registry: who serves which role just now. Processes announce themselves; nobody keeps a list that could be wrong."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Self

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.micro import add_service  # pyright: ignore[reportUnknownVariableType]  # its keyword arguments are untyped
from nats.micro.service import Service, ServiceConfig

from stretto.bus.agent_card import AgentCard
from stretto.bus.codec import decode, encode
from stretto.bus.connection import Connection
from stretto.bus.envelope import Envelope, open_envelope
from stretto.bus.errors import BusError, DecodeError
from stretto.bus.subjects import Subjects

__all__ = ["Announcer", "Registry"]

_log = logging.getLogger(__name__)
BEAT_S = 2.0
_GONE_AFTER_S = 3 * BEAT_S + 0.5
_GOODBYE_S = 1.0
_MAX_CARDS = 10_000


class Announcer:
    """Announces one process: as a NATS micro service (ADR-32) for everybody's tools, and by heartbeats for the supervisors."""

    def __init__(self, *, connection: Connection, subjects: Subjects, card: Callable[[], AgentCard]) -> None:
        self._connection = connection
        self._subjects = subjects
        self._card = card
        self._service: Service | None = None
        self._asked = asyncio.Event()

    async def run(self) -> None:
        """Announce until cancelled; then say goodbye."""
        card = self._card()
        config = ServiceConfig(
            name=f"{self._subjects.prefix}-{card.role}",
            version=card.version or "0.0.0",
            description=card.description,
            metadata={"role": card.role, "instance": card.instance, "prefix": self._subjects.prefix},
        )
        self._service = await add_service(self._connection.client, config)

        async def on_roll_call(_: Msg) -> None:
            self._asked.set()

        roll_call = await self._connection.subscribe(self._subjects.roll_call(), on_roll_call)
        try:
            while True:
                self._asked.clear()  # before the beat: who asks while it is under way may not hear it
                await self._beat(self._card())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(BEAT_S):
                        await self._asked.wait()
        finally:
            await self._beat(self._card().model_copy(update={"leaving": True}))
            with contextlib.suppress(NatsError, TimeoutError):
                await roll_call.unsubscribe()
                async with asyncio.timeout(_GOODBYE_S):  # it has a dozen subscriptions, and drains each
                    await self._service.stop()

    async def _beat(self, card: AgentCard) -> None:
        envelope = Envelope.of(card, tenant="system", run="system", sender=card.instance)
        with contextlib.suppress(BusError):  # away for now: the next beat comes by itself
            await self._connection.publish(self._subjects.beat(card.role, card.instance), encode(envelope))


class Registry:
    """Hears the announcements. `async with Registry(...)` begins with a roll call, so that it knows everybody within a moment."""

    def __init__(self, *, connection: Connection, subjects: Subjects) -> None:
        self._connection = connection
        self._subjects = subjects
        self._cards: dict[tuple[str, str], tuple[float, AgentCard]] = {}
        self._last_heard: dict[str, float] = {}
        self._roles: frozenset[str] = frozenset()
        self._roles_until = 0.0
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._beats = await self._connection.subscribe(self._subjects.any_beat(), self._hear)
        await self._connection.publish(self._subjects.roll_call(), b"")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(NatsError):
            await self._beats.unsubscribe()

    def alive(self, role: str | None = None) -> list[AgentCard]:
        """The processes heard of lately, of one role or of all, ordered by role and instance."""
        now = asyncio.get_running_loop().time()
        self._cards = {name: (at, card) for name, (at, card) in self._cards.items() if now - at < _GONE_AFTER_S}
        cards = [card for _, card in self._cards.values() if role is None or card.role == role]
        return sorted(cards, key=lambda card: (card.role, card.instance))

    def roles(self) -> frozenset[str]:
        """The roles that somebody serves."""
        now = asyncio.get_running_loop().time()
        # Asked at every fact of every run: looked up anew only when a beat was heard or one may be gone.
        if now >= self._roles_until:
            alive = {name: at for name, (at, _) in self._cards.items() if now - at < _GONE_AFTER_S}
            self._roles = frozenset(role for role, _ in alive)
            self._roles_until = min(alive.values(), default=now) + _GONE_AFTER_S
        return self._roles

    def last_served(self) -> dict[str, float]:
        """For each role that is not served any more but was: how many seconds ago it was last heard of."""
        served = self.roles()
        if self._last_heard.keys() <= served:
            return {}
        now = asyncio.get_running_loop().time()
        return {role: now - at for role, at in self._last_heard.items() if role not in served}

    def serves(self, role: str) -> bool:
        """Whether anybody serves the role."""
        return bool(self.alive(role))

    async def wait_for(self, *roles: str, timeout_s: float) -> bool:
        """Wait until every one of these roles is served; False if one is not within `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: all(self.serves(role) for role in roles))
        except TimeoutError:
            return False
        return True

    async def _hear(self, msg: Msg) -> None:
        try:
            card = open_envelope(decode(msg.data), AgentCard)
        except DecodeError as error:
            _log.warning("%s: not an agent card: %s", msg.subject, error)
            return
        if msg.subject != self._subjects.beat(card.role, card.instance):
            _log.warning("%s: the card is for %s %s", msg.subject, card.role, card.instance)
            return
        name = (card.role, card.instance)
        now = asyncio.get_running_loop().time()
        if card.role in self._last_heard or len(self._last_heard) < _MAX_CARDS:
            self._last_heard[card.role] = now
        if card.leaving:
            self._cards.pop(name, None)
        elif name in self._cards or len(self._cards) < _MAX_CARDS:
            self._cards[name] = (now, card)
        self._roles_until = 0.0
        async with self._changed:
            self._changed.notify_all()
