"""Roll: who announces himself on the bus just now."""

import asyncio
from typing import Final

from stretto.bus.agent_card import AgentCard
from stretto.bus.connection import Connection
from stretto.bus.registry import Registry
from stretto.bus.subjects import Subjects

__all__ = ["call_roll"]

_LISTEN_S: Final = 0.5


async def call_roll(connection: Connection, subjects: Subjects) -> list[AgentCard]:
    """Everybody who answers within half a second, ordered by role and instance."""
    async with Registry(connection=connection, subjects=subjects) as registry:
        await asyncio.sleep(_LISTEN_S)  # nobody says who is missing: who has not answered by then is taken for absent
        return registry.alive()
