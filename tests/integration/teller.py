"""A process of its own that tells spans: one when it has started, one when it is told to stop.

It is `python -m tests.integration.teller MODE PREFIX`, on the server that STRETTO_NATS_URL names. The mode is `plain`; or `hosted`, where
the host application has a provider of its own. What it has to say stands in lines on stdout.
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncGenerator, Sequence

from opentelemetry import trace

from stretto.bus.tracing import is_on, span
from stretto.shared.process import Service, open_process, serve
from stretto.shared.settings import load_settings

__all__ = ["FIRST", "LAST", "OWN"]

FIRST, LAST, OWN = "first", "last", "a user's own"
_LEFT_OUT = "mcp-python-sdk"


class _Teller:
    def __init__(self) -> None:
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        with (
            span(FIRST),
            trace.get_tracer(_LEFT_OUT).start_as_current_span("left out"),
            trace.get_tracer("users").start_as_current_span(OWN),
        ):
            pass
        _say(f"on: {is_on()}")
        _say(f"imported: {'opentelemetry.sdk.trace' in sys.modules}")
        _say("begun")
        await self._stopped.wait()
        with span(LAST):
            _say("ending")

    def stop(self) -> None:
        self._stopped.set()


@contextlib.asynccontextmanager
async def _opening(prefix: str) -> AsyncGenerator[Sequence[Service]]:
    async with open_process(load_settings(prefix=prefix), "teller"):
        yield [_Teller()]


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 (for the test that started us)


def _host() -> None:
    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

    class Hosts(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            _say(f"host: {span.name}")

    provider = TracerProvider()
    provider.add_span_processor(Hosts())
    trace.set_tracer_provider(provider)


if __name__ == "__main__":
    mode, its_prefix = sys.argv[1:]
    logging.basicConfig(level=logging.INFO)
    if mode == "hosted":
        _host()
    ended = asyncio.run(serve(_opening(its_prefix), grace_s=20))
    _say(f"ended: {ended}")
