"""Provisioning: creates the streams and consumers that are declared, or compares them; what exists is never changed."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

from stretto.bus.connection import Connection
from stretto.bus.errors import BusError, Misconfigured, StreamDiffers, TimedOut
from stretto.bus.streams import ConsumerSpec, StreamSpec

__all__ = ["missing_streams", "provision"]

_SILENCE_S = 2.0
_ASKED_AGAIN = 5
_STREAM_NOT_FOUND = 10059
_CONSUMER_NOT_FOUND = 10014
_STREAM_EXISTS_OTHERWISE = 10058


async def provision(connection: Connection, spec: StreamSpec) -> bool:
    """Create the stream and its consumers, or see that they are as declared; return True if the stream is new.

    Raises:
        StreamDiffers: one exists with another configuration; the text names each field.
        Misconfigured: the server cannot keep it.
    """
    created = await _provision_stream(connection, spec)
    for consumer in spec.consumers:
        await _provision_consumer(connection, spec.name, consumer)
    return created


async def missing_streams(connection: Connection, specs: Sequence[StreamSpec]) -> list[str]:
    """Names of those streams that do not exist."""
    missing: list[str] = []
    for spec in specs:
        found = await connection.jetstream.api(f"STREAM.INFO.{spec.name}")
        if _code(found) == _STREAM_NOT_FOUND:
            missing.append(spec.name)
    return missing


async def _provision_stream(connection: Connection, spec: StreamSpec) -> bool:
    found = await _ask(connection, f"STREAM.INFO.{spec.name}")
    created = False
    if _code(found) == _STREAM_NOT_FOUND:
        found = await _ask(connection, f"STREAM.CREATE.{spec.name}", {"name": spec.name, **spec.config})
        if _code(found) == _STREAM_EXISTS_OTHERWISE:  # another process was first, with something else
            found = await _ask(connection, f"STREAM.INFO.{spec.name}")
        else:
            created = "error" not in found
    _raise_error(found, f"stream {spec.name}")
    _compare(f"stream {spec.name}", spec.config, found["config"])
    return created


async def _provision_consumer(connection: Connection, stream: str, spec: ConsumerSpec) -> None:
    found = await _ask(connection, f"CONSUMER.INFO.{stream}.{spec.name}")
    if _code(found) == _CONSUMER_NOT_FOUND:
        config = {"durable_name": spec.name, "name": spec.name, "deliver_policy": "all", **spec.config}
        found = await _ask(
            connection,
            f"CONSUMER.CREATE.{stream}.{spec.name}",
            # "create" never changes one that exists: a race is then seen by the comparison below.
            {"stream_name": stream, "config": config, "action": "create"},
        )
        if "error" in found:
            again = await _ask(connection, f"CONSUMER.INFO.{stream}.{spec.name}")
            found = found if "error" in again else again
    _raise_error(found, f"consumer {spec.name} of {stream}")
    _compare(f"consumer {spec.name} of {stream}", spec.config, found["config"])


async def _ask(connection: Connection, verb: str, body: Mapping[str, Any] | None = None) -> Any:
    """What the API says. A stream of a cluster that has no leader yet says nothing: ask again, which does no harm here."""
    for _ in range(_ASKED_AGAIN):
        with contextlib.suppress(TimedOut):
            return await connection.jetstream.api(verb, body, timeout_s=_SILENCE_S)
    return await connection.jetstream.api(verb, body)


def _code(reply: Mapping[str, Any]) -> int:
    return int(reply.get("error", {}).get("err_code", 0))


def _raise_error(reply: Mapping[str, Any], what: str) -> None:
    error = reply.get("error")
    if error is None:
        return
    text = f"the server refuses {what}: {error.get('description')} ({error.get('err_code')})"
    raise (BusError(text) if error.get("code") == 503 else Misconfigured(text))


def _compare(what: str, declared: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    differences = [
        f"{name} is {found.get(name)!r}, declared is {value!r}"
        for name, value in declared.items()
        if not _same(value, found.get(name))
    ]
    if differences:
        raise StreamDiffers(
            f"{what} exists with another configuration ({'; '.join(differences)}). It is left as it is: use the "
            "settings that it was made with, another prefix, or change it with the nats command."
        )


def _same(declared: Any, found: Any) -> bool:
    """The server adds defaults and leaves out what is zero or false: only what is declared counts."""
    if isinstance(declared, dict) and isinstance(found, dict):
        entries = cast("dict[str, Any]", declared)
        return all(_same(value, found.get(name)) for name, value in entries.items())
    return bool(declared == found or (not declared and not found))
