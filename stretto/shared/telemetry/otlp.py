"""OTLP: which exporters the standard variables ask for, beside the bus, and whether what they say of them can be.

https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

import importlib.util
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from stretto.shared.settings import SettingsError
from stretto.shared.telemetry.variables import Environment, listed, number, one_of, said

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["Protocol", "Signal", "check_otlp", "endpoint_of", "exporters_of", "otlp_span_exporter", "quiet"]

Signal = Literal["traces", "metrics"]
Protocol = Literal["grpc", "http/protobuf"]

_EXPORTERS: Final = {"traces": ("otlp", "console", "none"), "metrics": ("otlp", "console", "prometheus", "none")}
_PROTOCOLS: Final[tuple[Protocol, ...]] = ("grpc", "http/protobuf")
_COMPRESSIONS: Final = {"grpc": ("gzip", "none"), "http/protobuf": ("gzip", "deflate", "none")}
_PORTS: Final = {"grpc": 4317, "http/protobuf": 4318}
_TIMEOUT_S: Final = 10.0
_FILES: Final = ("CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE")
_HEADER: Final = re.compile(r"\s*[!#-'*+.0-9A-Z^-z|~-]+\s*=[ !#-+\--:<-\[\]-~]*")


def exporters_of(signal: Signal, environ: Environment) -> tuple[str, ...]:
    """What OTEL_TRACES_EXPORTER (or the one of metrics) names; where it names nothing, `otlp` if an endpoint is set.

    Raises:
        SettingsError: it names one that we do not know; or what the variables say of OTLP cannot be, or it is not installed.
    """
    name = f"OTEL_{signal.upper()}_EXPORTER"
    named = listed(environ, name, known=_EXPORTERS[signal])
    if not named and said(environ, *_names(signal, "ENDPOINT")):
        named = ("otlp",)
    if "otlp" in named:
        check_otlp(signal, environ)
    return tuple(one for one in dict.fromkeys(named) if one != "none")


def check_otlp(signal: Signal, environ: Environment) -> Protocol:
    """The protocol that this signal's exporter is to speak.

    Raises:
        SettingsError: what the variables say cannot be: the exporters themselves would guess, or fail at each export. Or it is not
            installed.
    """
    protocol: Protocol = one_of(environ, *_names(signal, "PROTOCOL"), known=_PROTOCOLS, default=_PROTOCOLS[-1])
    _check_endpoint(signal, protocol, environ)
    one_of(environ, *_names(signal, "COMPRESSION"), known=_COMPRESSIONS[protocol], default="none")
    number(environ, *_names(signal, "TIMEOUT"), default=_TIMEOUT_S, least=0.001)
    for kind in _FILES:
        path = said(environ, *_names(signal, kind))
        if path and not Path(path).is_file():
            raise SettingsError(f"{_sayer(signal, kind, environ)} is {path!r}: there is no such file")
    for one in said(environ, *_names(signal, "HEADERS")).split(","):
        if one.strip() and not _HEADER.fullmatch(one):  # it may hold a key: it is not shown
            raise SettingsError(f"{_sayer(signal, 'HEADERS', environ)} cannot be read: use NAME=VALUE,NAME=VALUE")
    if not _is_installed(protocol):
        raise SettingsError(
            f'{signal} are to be exported by OTLP over {protocol}, which is not installed: pip install "stretto[otlp]"'
        )
    return protocol


def endpoint_of(signal: Signal, environ: Environment) -> str:
    """Where its exports go, as it may be shown: without path, user and password."""
    protocol: Protocol = one_of(environ, *_names(signal, "PROTOCOL"), known=_PROTOCOLS, default=_PROTOCOLS[-1])
    said_to_be = said(environ, *_names(signal, "ENDPOINT")) or f"http://localhost:{_PORTS[protocol]}"
    parts = urlsplit(said_to_be if "://" in said_to_be else f"//{said_to_be}")
    return parts.netloc.rpartition("@")[2]


def otlp_span_exporter(environ: Environment) -> "SpanExporter":
    """The exporter of spans, of what `check_otlp` has let pass; it reads what the variables say of it by itself."""
    return _over_grpc(environ) if check_otlp("traces", environ) == "grpc" else _over_http()


def quiet() -> None:
    """Keep the exporters' own loggers from telling of each failed export, unless their levels are set: ours tells once."""
    for name in ("opentelemetry.exporter", "opentelemetry.sdk.metrics._internal.export", "urllib3.connectionpool"):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET and not logging.getLogger().isEnabledFor(logging.DEBUG):
            logger.setLevel(logging.CRITICAL)


def _over_grpc(environ: Environment) -> "SpanExporter":
    """Its endpoint, limit and compression are said here: it takes empty variables, and a compression of `none`, for errors."""
    from grpc import Compression  # type: ignore[import-untyped]  # it ships no types
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    squeezed = said(environ, *_names("traces", "COMPRESSION")).lower() == "gzip"
    return OTLPSpanExporter(
        endpoint=said(environ, *_names("traces", "ENDPOINT")) or f"http://localhost:{_PORTS['grpc']}",
        timeout=number(environ, *_names("traces", "TIMEOUT"), default=_TIMEOUT_S),
        compression=Compression.Gzip if squeezed else Compression.NoCompression,
    )


def _over_http() -> "SpanExporter":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def _is_installed(protocol: Protocol) -> bool:
    package = "grpc" if protocol == "grpc" else "http"
    try:
        return importlib.util.find_spec(f"opentelemetry.exporter.otlp.proto.{package}") is not None
    except ModuleNotFoundError:  # nor are the packages above it
        return False


def _check_endpoint(signal: Signal, protocol: Protocol, environ: Environment) -> None:
    endpoint = said(environ, *_names(signal, "ENDPOINT"))
    if not endpoint:
        return
    try:
        parts = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
        possible = bool(parts.hostname) and parts.port != 0
    except ValueError:
        possible, parts = False, urlsplit("")
    schemes = ("http", "https", "") if protocol == "grpc" else ("http", "https")
    if not possible or parts.scheme not in schemes or any(one.isspace() for one in endpoint):
        example = f"http://localhost:{_PORTS[protocol]}"
        shown = re.sub(r"[^/,@]*@", "", endpoint)[:200]
        raise SettingsError(f"{_sayer(signal, 'ENDPOINT', environ)} is {shown!r}: use an address such as {example}")


def _names(signal: Signal, what: str) -> tuple[str, str]:
    return f"OTEL_EXPORTER_OTLP_{signal.upper()}_{what}", f"OTEL_EXPORTER_OTLP_{what}"


def _sayer(signal: Signal, what: str, environ: Environment) -> str:
    return next(name for name in _names(signal, what) if said(environ, name))
