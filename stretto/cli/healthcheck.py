"""Healthcheck: whether a process of a role on this host is alive, as it says itself."""

import asyncio
from typing import Final

from stretto.bus.registry import Registry
from stretto.cli.check import check_usage
from stretto.cli.errors import NotReachable
from stretto.cli.running_system import connect_to_running
from stretto.shared.process import host_token
from stretto.shared.settings import Settings

__all__ = ["healthcheck"]

_LIMIT_S: Final = 3.0
_POLL_S: Final = 0.05


async def healthcheck(settings: Settings, role: str) -> int:
    """Return 0 when one announces itself within three seconds.

    Raises:
        UsageFailed: there can be no such role.
        NotReachable: none does.
    """
    check_usage(role, "role")
    here = f"-{host_token()}-"
    async with (
        connect_to_running(settings, name="healthcheck") as (connection, _),
        Registry(connection=connection, subjects=settings.deployment.subjects) as registry,
    ):
        try:
            async with asyncio.timeout(_LIMIT_S):
                while not any(here in card.instance for card in registry.alive(role)):  # noqa: ASYNC110 (any beat may be it)
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise NotReachable(f"no process on this host serves {role} under the prefix {settings.prefix!r}") from None
    return 0
