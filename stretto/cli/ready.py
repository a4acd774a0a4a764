"""Ready: waits for the parts of a system that a command needs."""

from typing import Final

from stretto.bus.connection import Connection
from stretto.bus.registry import Registry
from stretto.bus.subjects import Subjects
from stretto.cli.errors import NotReachable

__all__ = ["OTHERS_WAIT_S", "OWN_WAIT_S", "wait_until_served"]

OWN_WAIT_S: Final = 60.0
"""How long parts may take that this command has started: it is told when one ends."""

OTHERS_WAIT_S: Final = 8.0
"""How long parts of a running system are waited for: three of their heartbeats, and a moment for one that is restarted."""


async def wait_until_served(connection: Connection, subjects: Subjects, *roles: str, timeout_s: float) -> None:
    """Return when every one of these roles is served.

    Raises:
        NotReachable: one is not within `timeout_s`; the text says how to start it.
    """
    async with Registry(connection=connection, subjects=subjects) as registry:
        if await registry.wait_for(*roles, timeout_s=timeout_s):
            return
        missing = [role for role in roles if not registry.serves(role)]
    commands = " and ".join(f"`stretto {role} run`" for role in missing)
    raise NotReachable(
        f"the server answers, but nobody serves {' and '.join(missing)} under the prefix {subjects.prefix!r}: start {commands}"
    )
