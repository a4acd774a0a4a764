"""Prometheus: serves a process's metrics over HTTP, where a Prometheus fetches them."""

import asyncio
import contextlib
import importlib.util
import logging
import threading
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stretto.shared.settings import SettingsError
from stretto.shared.telemetry.variables import Environment, number, said

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer

    from opentelemetry.sdk.metrics.export import MetricReader

__all__ = ["HOST", "PORT", "Address", "parts_port", "serving"]

_log = logging.getLogger(__name__)
HOST: Final = "localhost"
PORT: Final = 9464
_HOST_VARIABLE: Final = "OTEL_EXPORTER_PROMETHEUS_HOST"
_PORT_VARIABLE: Final = "OTEL_EXPORTER_PROMETHEUS_PORT"
_MOST: Final = 65_535


@dataclass(frozen=True, slots=True)
class Address:
    """Where the metrics are served; port 0 is any that is free."""

    host: str = HOST
    port: int = PORT

    @classmethod
    def of(cls, environ: Environment) -> "Address":
        """What the standard variables say.

        Raises:
            SettingsError: they say what cannot be, or what it takes is not installed.
        """
        port = number(environ, _PORT_VARIABLE, default=PORT, most=_MOST)
        if port != int(port):
            raise SettingsError(f"{_PORT_VARIABLE} is {said(environ, _PORT_VARIABLE)!r}: use a whole number")
        if not _is_installed():
            raise SettingsError(
                'metrics are to be served for Prometheus, which is not installed: pip install "stretto[prometheus]"'
            )
        return cls(said(environ, _HOST_VARIABLE) or HOST, int(port))

    def __str__(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/metrics"


def parts_port(address: Address, number: int) -> Address:
    """Where the part of this number is to serve, of a system whose parts are processes of one machine: each has a port of its own.

    Raises:
        SettingsError: there is no such port.
    """
    if not address.port:
        return address
    if address.port + number > _MOST:
        raise SettingsError(
            f"{_PORT_VARIABLE} is {address.port}: each part of the system takes a port of its own, and {address.port + number} is none"
        )
    return Address(address.host, address.port + number)


@contextlib.asynccontextmanager
async def serving(address: Address) -> AsyncGenerator["MetricReader | None"]:
    """A reader whose metrics are served within the block, in threads of their own. None where the address cannot be had, which is told: a
    service is worth more than its figures.
    """
    from opentelemetry.exporter.prometheus import PrometheusMetricReader
    from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

    registry = CollectorRegistry()
    try:
        server, thread = start_http_server(address.port, address.host, registry)
    except OSError as error:
        _log.warning(
            "metrics are not served: %s cannot be had (%s): set %s to another port",
            address,
            error.strerror or error,
            _PORT_VARIABLE,
        )
        yield None
        return
    try:
        ProcessCollector(registry=registry)
        _log.info("metrics are served at %s", Address(address.host, server.server_port))
        yield PrometheusMetricReader(registry=registry, scope_info_enabled=False)
    finally:
        await asyncio.to_thread(_close, server, thread)  # it takes up to half a second to hear it


def _close(server: "WSGIServer", thread: threading.Thread) -> None:
    server.shutdown()
    server.server_close()
    thread.join()


def _is_installed() -> bool:
    try:
        return importlib.util.find_spec("opentelemetry.exporter.prometheus") is not None
    except ModuleNotFoundError:  # nor are the packages above it
        return False
