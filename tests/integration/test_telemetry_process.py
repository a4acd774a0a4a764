"""A process that tells spans, from its start to its end on a signal: on the bus, to receivers of OTLP, and to those that do not answer."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator
from typing import IO

import pytest
from nats.aio.msg import Msg
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from stretto import __version__
from stretto.bus.connection import Connection, ConnectionOptions
from stretto.bus.subjects import Subjects
from tests.integration.otlp_receiver import OtlpReceiver
from tests.integration.spans import Span, read_spans
from tests.integration.teller import FIRST, LAST, OWN

_LIMIT_S = 30.0
_END_S = 1.5
"""What a process may take for its end beside what is allowed for the last spans, on a busy machine."""
_DRAIN_S = 2.0


class _Running:
    """A teller that is under way."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []

    def wait_for(self, line: str) -> None:
        assert self.process.stdout is not None
        for said in self.process.stdout:
            self.said.append(said.strip())
            if said.strip() == line:
                return
        raise AssertionError(f"it ended without {line!r}: {self.said}")

    def tell(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def end(self) -> str:
        """Wait until it ends; return what it wrote to stderr."""
        assert self.process.stdout is not None
        out, err = self.process.communicate(timeout=_LIMIT_S)
        self.said += out.splitlines()
        assert self.process.returncode == 0, err
        return err

    def stop(self) -> tuple[str, float]:
        """Tell it to stop; return what it wrote to stderr, and how long it took in seconds."""
        began = time.monotonic()
        self.tell()
        err = self.end()
        return err, time.monotonic() - began


@contextlib.contextmanager
def _teller(url: str, prefix: str, *, mode: str = "plain", **variables: str) -> Generator[_Running]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("STRETTO_", "OTEL_"))}
    clean["OTEL_METRICS_EXPORTER"] = "none"
    with subprocess.Popen(
        [sys.executable, "-m", "tests.integration.teller", mode, prefix],
        env=clean | {"STRETTO_NATS_URL": url} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        running = _Running(process)
        try:
            running.wait_for("begun")
            yield running
        finally:
            process.kill()


class _Heard:
    """What comes on the bus."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._more = asyncio.Condition()

    async def take(self, msg: Msg) -> None:
        async with self._more:
            self.spans += read_spans(ExportTraceServiceRequest.FromString(msg.data))
            self._more.notify_all()

    async def wait_for(self, *names: str) -> list[Span]:
        async with asyncio.timeout(_LIMIT_S), self._more:
            await self._more.wait_for(lambda: {one.name for one in self.spans} >= set(names))
        return self.spans


@pytest.fixture
async def heard(nats_url: str, prefix: str) -> AsyncGenerator[_Heard]:
    found = _Heard()
    async with await Connection.open(ConnectionOptions(nats_url)) as connection:
        await connection.subscribe(Subjects(prefix).span("teller"), found.take)
        yield found


async def test_the_last_spans_before_the_end_are_on_the_bus(nats_url: str, prefix: str, heard: _Heard) -> None:
    more = {"OTEL_BSP_SCHEDULE_DELAY": "60000", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test"}
    with _teller(nats_url, prefix, **more) as teller:
        err, took_s = await asyncio.to_thread(teller.stop)
    spans = await heard.wait_for(FIRST, OWN, LAST)
    assert sorted(one.name for one in spans) == sorted([FIRST, OWN, LAST])
    first, own = next(one for one in spans if one.name == FIRST), next(one for one in spans if one.name == OWN)
    assert own.parent == first.id, "what is left out leaves no hole"
    assert first.service == "stretto-teller"
    assert first.resource["service.version"] == __version__
    assert str(first.resource["service.instance.id"]).startswith("teller-")
    assert first.resource["deployment.environment.name"] == "test"
    assert took_s < _END_S
    assert "dropped" not in err


async def test_spans_come_while_it_goes_on(nats_url: str, prefix: str, heard: _Heard) -> None:
    with _teller(nats_url, prefix, OTEL_SERVICE_NAME="acme") as teller:
        [first, *_] = [one for one in await heard.wait_for(FIRST) if one.name == FIRST]
        assert first.service == "acme"
        await asyncio.to_thread(teller.stop)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_an_otlp_receiver_gets_the_same_as_the_bus(
    nats_url: str, prefix: str, heard: _Heard, protocol: str
) -> None:
    with OtlpReceiver() as receiver:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_url if protocol == "grpc" else receiver.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-scope=somebody",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
            "OTEL_BSP_SCHEDULE_DELAY": "60000",
        }
        with _teller(nats_url, prefix, **variables) as teller:
            _, took_s = await asyncio.to_thread(teller.stop)
        received = receiver.spans
        assert receiver.headers[0]["x-scope"] == "somebody"
    assert took_s < _DRAIN_S + _END_S
    assert {one.id for one in received} == {one.id for one in await heard.wait_for(FIRST, OWN, LAST)}


@contextlib.contextmanager
def _dead_end(*, hangs: bool) -> Generator[str]:
    """An address where nobody answers: it refuses connections, or takes them and says nothing."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        if hangs:
            one.listen()
        yield f"http://127.0.0.1:{one.getsockname()[1]}"


@pytest.mark.parametrize(("protocol", "hangs"), [("http/protobuf", True), ("grpc", False)])
async def test_an_endpoint_that_does_not_answer_takes_nothing_but_its_own_spans(
    nats_url: str, prefix: str, heard: _Heard, *, protocol: str, hangs: bool
) -> None:
    with _dead_end(hangs=hangs) as url:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
        with _teller(nats_url, prefix, **variables, OTEL_BSP_SCHEDULE_DELAY="60000") as teller:
            err, took_s = await asyncio.to_thread(teller.stop)
    await heard.wait_for(FIRST, OWN, LAST)
    assert took_s < _DRAIN_S + _END_S
    assert err.count("are dropped") == 1, err
    assert "Traceback" not in err
    assert "opentelemetry" not in err
    assert any(line.startswith("ended: True") for line in teller.said)


async def test_an_endpoint_known_to_be_dead_is_not_waited_for(nats_url: str, prefix: str, heard: _Heard) -> None:
    with _dead_end(hangs=False) as url:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_TIMEOUT": "0.2"}
        with _teller(nats_url, prefix, **variables, OTEL_BSP_SCHEDULE_DELAY="10") as teller:
            assert teller.process.stderr is not None
            await asyncio.to_thread(_wait_for_line, teller.process.stderr, "are dropped")
            _, took_s = await asyncio.to_thread(teller.stop)
    await heard.wait_for(LAST)
    assert took_s < _END_S


async def test_a_second_signal_ends_the_wait_for_an_endpoint_at_once(nats_url: str, prefix: str, heard: _Heard) -> None:
    with _dead_end(hangs=True) as url, _teller(nats_url, prefix, OTEL_EXPORTER_OTLP_ENDPOINT=url) as teller:
        await asyncio.to_thread(teller.tell)
        await asyncio.to_thread(teller.wait_for, "ending")
        await heard.wait_for(LAST)  # the bus has it, and the endpoint is waited for
        _, took_s = await asyncio.to_thread(teller.stop)
    assert took_s < _DRAIN_S / 2


async def test_a_provider_of_the_hosts_gets_the_spans_and_nothing_of_ours_is_added(
    nats_url: str, prefix: str, heard: _Heard
) -> None:
    with _teller(nats_url, prefix, mode="hosted", OTEL_TRACES_EXPORTER="nonsense") as teller:
        await asyncio.to_thread(teller.stop)
    assert [line for line in teller.said if line.startswith("host: ")][-1] == f"host: {LAST}"
    assert heard.spans == []


async def test_with_the_sdk_disabled_it_is_not_even_imported(nats_url: str, prefix: str, heard: _Heard) -> None:
    with _teller(nats_url, prefix, OTEL_SDK_DISABLED="true") as teller:
        assert {"on: False", "imported: False"} <= set(teller.said)
        await asyncio.to_thread(teller.stop)
    assert heard.spans == []


def _wait_for_line(lines: IO[str], text: str) -> None:
    assert any(text in line for line in lines)
