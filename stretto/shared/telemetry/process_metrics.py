"""Process metrics: what a process's main does so that its metrics are told. The SDK is imported only where they go somewhere."""

import os
from typing import TYPE_CHECKING

from stretto.shared.telemetry.otlp import exporters_of
from stretto.shared.telemetry.variables import Environment, is_disabled

if TYPE_CHECKING:
    from stretto.shared.telemetry.metering import Metering

__all__ = ["metering_of"]


def metering_of(environ: Environment = os.environ) -> "Metering | None":
    """How the process is to tell its metrics; open it for as long as it serves. None where they go nowhere: the standard variables name no
    exporter, or say OTEL_SDK_DISABLED=true, or whoever hosts the process has set a provider, to which we add nothing.

    Raises:
        SettingsError: a variable says what cannot be, or an exporter is not installed.
    """
    if is_disabled(environ):
        return None
    exporters = exporters_of("metrics", environ)
    if not exporters:
        return None
    from stretto.shared.telemetry.metering import Metering

    return Metering.of(exporters, environ)
