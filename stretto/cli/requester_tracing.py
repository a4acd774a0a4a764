"""Requester tracing: the spans of a command that asks something of a system are recorded, as those of a service `requester`."""

import contextlib
import os
import secrets
from collections.abc import AsyncGenerator
from typing import Final

from stretto.bus.connection import Connection
from stretto.shared.process import host_token
from stretto.shared.settings import Settings
from stretto.shared.telemetry.process_tracing import tracing_of

__all__ = ["trace_requester"]

_SERVICE: Final = "requester"
_DRAIN_S: Final = 1.0
"""A person waits for the end of the command."""


@contextlib.asynccontextmanager
async def trace_requester(settings: Settings, connection: Connection) -> AsyncGenerator[None]:
    """Record spans, and tell them over `connection`. Only a command's own process may: in an application that uses
    `stretto.shared.requester`, spans go where the application sends them.

    Raises:
        SettingsError: a standard variable of OpenTelemetry says what cannot be.
    """
    tracing = tracing_of()
    if tracing is None:
        yield
        return
    instance = f"{_SERVICE}-{host_token()}-{os.getpid()}-{secrets.token_hex(2)}"
    subjects = settings.deployment.subjects
    async with tracing.open(connection, subjects=subjects, service=_SERVICE, instance=instance, drain_s=_DRAIN_S):
        yield
