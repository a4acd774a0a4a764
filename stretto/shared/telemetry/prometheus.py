"""Prometheus: serves a process's metrics over HTTP, where a Prometheus fetches them."""

import asyncio
import contextlib
import importlib.util
import logging
import socket
import threading
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from stretto.shared.settings import SettingsError
from stretto.shared.telemetry.otlp import exporters_of
from stretto.shared.telemetry.variables import Environment, is_disabled, number, said

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer

    from opentelemetry.sdk.metrics.export import MetricReader

__all__ = ["HOST", "PORT", "Address", "addresses_of_parts", "serving", "unserved"]

_log = logging.getLogger(__name__)
HOST: Final = "localhost"
PORT: Final = 9464
_EXPORTER_VARIABLE: Final = "OTEL_METRICS_EXPORTER"
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

    @property
    def environment(self) -> Mapping[str, str]:
        """What has a process serve there."""
        return {_PORT_VARIABLE: str(self.port)}

    def check_free(self) -> None:
        """Raises SettingsError where something else is served there, or the host is none of this machine's."""
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            with socket.socket(family, kind, protocol) as tried:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tried.bind(address)
        except OSError as error:
            raise SettingsError(
                f"metrics cannot be served at {self} ({error.strerror}): set {_PORT_VARIABLE} or {_HOST_VARIABLE} to another one"
            ) from error


def addresses_of_parts(names: Sequence[str], environ: Environment) -> Mapping[str, Address]:
    """Where the parts of a system serve their metrics that are processes of one machine: each has a port of its own, counted from the one
    that is set. Nothing, where metrics are not to be served.

    Raises:
        SettingsError: the variables say what cannot be; or there is no such port, or it is in use.
    """
    if is_disabled(environ) or "prometheus" not in exporters_of("metrics", environ):
        return {}
    first = Address.of(environ)
    last = first.port + len(names) - 1
    if last > _MOST:
        raise SettingsError(
            f"{_PORT_VARIABLE} is {first.port}: each part takes a port of its own, up to {last}, which is none"
        )
    found = {name: replace(first, port=first.port and first.port + number) for number, name in enumerate(names)}
    for one in found.values():
        one.check_free()
    return found


def unserved(environ: Environment) -> Mapping[str, str]:
    """What keeps a process from serving metrics that is over before anybody would fetch them; other exporters are left."""
    words = [one.strip() for one in said(environ, _EXPORTER_VARIABLE).split(",")]
    others = [one for one in words if one.lower() != "prometheus"]
    return {_EXPORTER_VARIABLE: ",".join(others) or "none"} if len(others) < len(words) else {}


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
