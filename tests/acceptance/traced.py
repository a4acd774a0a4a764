"""Traced: a system of real processes that export to a receiver, what they tell, and what they log."""

import asyncio
import contextlib
import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from stretto.bus.connection import Connection, ConnectionOptions
from stretto.bus.registry import Registry
from stretto.bus.subjects import Subjects
from tests.acceptance import traced_team
from tests.acceptance.command import HANDBOOK, Ran, Running, Stretto, wait_until
from tests.integration.dialects import DIALECTS, KEY
from tests.integration.provider_server import Answer, ProviderServer, Received
from tests.integration.spans import Span, read_spans

__all__ = ["SERVICES", "Traced", "open_provider"]

SERVICES = ("memory run", "supervisor run", "agent run researcher", "agent run reviewer")
"""But for a writer."""
_CHAT = DIALECTS[1]
_SETTINGS = """
log_level = "DEBUG"
playbooks = ["playbooks"]
role_wait_s = 60
task_lease_s = 4
grace_s = 0

[models]
default = ["offline"]
scribe = ["local:test", "local:other"]
signer = ["local:test"]
stumbler = ["local:test"]

[prices]
"local:*" = {{input = 1, output = 2}}

[providers.local]
base_url = "{provider}"
key_variable = "LOCAL_KEY"

[retries.default]
tries = 2
delay_s = 0.1
"""


class Traced:
    """One user, whose processes export all that they do.

    Args:
        exporting: the variables that say where.
        stack: ends the processes.
    """

    def __init__(
        self,
        folder: Path,
        *,
        nats_url: str,
        prefix: str,
        provider: str,
        exporting: Mapping[str, str],
        stack: contextlib.ExitStack,
    ) -> None:
        self._url = nats_url
        self._subjects = Subjects(prefix)
        self._stack = stack
        self._started: list[Running] = []
        self._ran: list[Ran] = []
        self._lingered = 0
        (folder / "playbooks").mkdir()
        (folder / "handbook").mkdir()
        (folder / "handbook" / "refunds.md").write_text(HANDBOOK, encoding="utf-8")
        (folder / "stretto.toml").write_text(_SETTINGS.format(provider=provider), encoding="utf-8")
        for name, text in traced_team.PLAYBOOKS.items():
            (folder / "playbooks" / f"{name}.yaml").write_text(text, encoding="utf-8")
        shutil.copy(traced_team.__file__, folder / "traced_team.py")
        self.user = Stretto(
            folder,
            {
                "STRETTO_NATS_URL": nats_url,
                "STRETTO_PREFIX": prefix,
                "LOCAL_KEY": KEY,
                "OTEL_METRICS_EXPORTER": "none",
                "OTEL_BSP_SCHEDULE_DELAY": "100",
                **exporting,
            },
        )

    def start(self, command: str, **variables: str) -> Running:
        """Start a service, with more variables of its environment."""
        running = self._stack.enter_context(
            Stretto(self.user.folder, self.user.variables | variables).start(*command.split())
        )
        self._started.append(running)
        return running

    def run(self, *words: str) -> Ran:
        """Run a command to its end."""
        ran = self.user.run(*words)
        self._ran.append(ran)
        return ran

    def ask(self, text: str, *words: str) -> str:
        """Ask, and be answered; return the run's id."""
        ran = self.run("ask", text, "--json", *words)
        assert ran.code == 0, ran.err
        return str(ran.data["run"])

    def wait_for_roles(self, *roles: str) -> None:
        """Wait until somebody serves each of them."""

        async def come() -> None:
            async with (
                await Connection.open(ConnectionOptions(self._url, name="test")) as connection,
                Registry(connection=connection, subjects=self._subjects) as registry,
            ):
                for role in roles:
                    await registry.wait_for(role, timeout_s=60)

        asyncio.run(come())

    def begin(self, *words: str) -> Running:
        """Start a command."""
        return self._stack.enter_context(self.user.start(*words))

    def stop(self) -> tuple[list[str], list[str]]:
        """End all services; return what they have logged, and what commands that were run have said besides their output."""
        for one in self._started:
            one.process.terminate()
        return [one.end().err for one in self._started], [ran.err for ran in self._ran]

    def spans_on_the_bus(self) -> list[Span]:
        """All that was told there."""

        async def read() -> list[Span]:
            subjects = self._subjects
            async with await Connection.open(ConnectionOptions(self._url, name="test")) as connection:
                stored = await connection.jetstream.read(subjects.stream("SPANS"), f"{subjects.prefix}.span.*")
            return [span for one in stored for span in read_spans(ExportTraceServiceRequest.FromString(one.data))]

        return asyncio.run(read())

    def lingering(self) -> None:
        """Wait until one more scribe lingers."""
        self._lingered += 1
        begun = self.user.folder / traced_team.BEGUN
        wait_until(
            lambda: begun.exists() and begun.read_text(encoding="utf-8").count("\n") >= self._lingered, "it lingers"
        )

    def let_go(self) -> None:
        """Let the scribe that lingers go on."""
        (self.user.folder / traced_team.GO).write_text(str(self._lingered), encoding="utf-8")


def _answer(asked: Received) -> Answer:
    """A thought, or a failure where one is wanted."""
    if traced_team.BROKEN in _CHAT.sent_instructions(asked.body) and asked.body["model"] == "test":
        return _CHAT.error(400, "invalid_request_error", traced_team.TROUBLE)
    thought = f'{{"text": "{traced_team.THOUGHT}"}}'
    return _CHAT.streams(thought) if asked.body.get("stream") else _CHAT.says(thought)


@contextlib.contextmanager
def open_provider() -> Iterator[str]:
    """A provider's server in a thread of its own; what is yielded is its address."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = ProviderServer(then=_answer)
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(10)
    try:
        yield server.url
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
