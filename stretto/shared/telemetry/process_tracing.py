"""Process tracing: what a process's main does so that its spans are recorded. The SDK is imported only where it is to be used."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote

from opentelemetry import trace

from stretto.shared.telemetry.capture import capture_of
from stretto.shared.telemetry.variables import Environment, is_disabled, said

if TYPE_CHECKING:
    from stretto.shared.telemetry.tracing import Tracing

__all__ = ["leave_off", "name_of_part", "tracing_of"]


def tracing_of(environ: Environment = os.environ) -> "Tracing | None":
    """How the process is to record its spans; open it on the process's connection. None where nothing is to be set up: with
    OTEL_SDK_DISABLED=true, or where whoever hosts the process has set a provider, to which we add nothing.

    Raises:
        SettingsError: a variable says what cannot be, or an exporter is not installed.
    """
    if is_disabled(environ):
        return None
    capture_of(environ)  # what is wrong with it is said now, not at the first call of a model
    from stretto.shared.telemetry.tracing import Tracing, is_hosted

    return None if is_hosted() else Tracing.of(environ)


def leave_off() -> None:
    """Say for good that nobody records spans in this process, where nobody has said that anybody does: being asked costs less then."""
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        trace.set_tracer_provider(trace.NoOpTracerProvider())


def name_of_part(part: str, environ: Environment = os.environ) -> Mapping[str, str]:
    """What a process that starts others adds to the environment of such a part: a name of its own. Where the standard variables name the
    whole `acme`, its parts are `acme-supervisor`, `acme-memory`, ...: with one name for all, nothing could be told apart.
    """
    pairs = (one.partition("=") for one in said(environ, "OTEL_RESOURCE_ATTRIBUTES").split(","))
    attributes = {key.strip(): unquote(value.strip()) for key, _, value in pairs}
    whole = said(environ, "OTEL_SERVICE_NAME") or attributes.get("service.name")
    return {"OTEL_SERVICE_NAME": f"{whole}-{part}"} if whole else {}
