"""The embedded server: a real nats-server that lives and dies with the process that owns its data directory."""

import asyncio
import json
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from stretto.bus.errors import Misconfigured
from stretto.bus.server.binary import find_server
from stretto.bus.server.log import damage, why_not_started
from stretto.bus.server.options import ServerOptions
from stretto.bus.server.owner import OwnerLock
from stretto.bus.server.probe import greeting
from stretto.bus.server.process import ServerProcess

__all__ = ["EmbeddedServer"]

_POLL_S = 0.005


class EmbeddedServer:
    """A nats-server with JetStream, started and stopped here; no two share a data directory.

    It ends when its owner ends, however that happens. Use it as a context manager, or `start` and `stop` it. When it
    exits by itself, `wait` returns and `restart` brings it back at the same address with the same store. A process
    that the owner forks without exec keeps the server and the lock alive for as long as it runs.
    """

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._dir = options.data_dir.resolve()
        self._owner = OwnerLock(self._dir)
        self._process: ServerProcess | None = None
        self._url: str | None = None
        # Tells this server from another one that has taken its port after a crash.
        self._name = f"stretto-{secrets.token_hex(8)}"

    @property
    def url(self) -> str:
        """Where it listens: `nats://127.0.0.1:4222`."""
        if self._url is None:
            raise RuntimeError("the server has not been started")
        return self._url

    @property
    def log(self) -> Path:
        """The server's log since its last start; the one before has `.1` behind its name."""
        return self._dir / "nats.log"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Take the data directory, start the server, and return when JetStream is ready.

        Raises:
            ServerMissing: there is no nats-server.
            ServerTooOld: it is too old.
            StoreLocked: another system runs on the data directory.
            Misconfigured: anything else that keeps it from starting, such as a port in use or a damaged store.
        """
        binary = await asyncio.to_thread(find_server, self._options.binary)
        try:
            self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            await self._owner.acquire()
        except OSError as error:
            raise self._unusable(error) from error
        try:
            await self._launch(binary, self._options.port)
        except BaseException:
            self._owner.release()
            raise

    async def stop(self) -> None:
        """Stop the server, killing it after the limit, and let go of the data directory. Harmless when stopped."""
        try:
            if self._process is not None:
                await self._process.stop()
        finally:
            self._process = None
            self._url = None
            self._owner.release()

    async def wait(self) -> int:
        """Wait until the server ends, and return its exit code (128 + n where signal n ended it)."""
        if self._process is None:
            raise RuntimeError("the server has not been started")
        return await self._process.wait()

    async def restart(self) -> None:
        """Start the server again at the same address with the same store, stopping it first where it still runs.

        The data directory stays locked in between, also when this fails. Raises what `start` raises.
        """
        port = urlsplit(self.url).port or self._options.port
        if self._process is not None:
            await self._process.stop()
        binary = await asyncio.to_thread(find_server, self._options.binary)
        await self._launch(binary, port)

    async def _launch(self, binary: Path, port: int) -> None:
        try:
            process = await self._spawn(binary, port)
            try:
                url = await self._ready(process, port)
                self._owner.announce(server_name=self._name, url=url)
            except BaseException:
                await process.stop()
                raise
        except OSError as error:
            raise self._unusable(error) from error
        self._process = process
        self._url = url

    async def _spawn(self, binary: Path, port: int) -> ServerProcess:
        self._owner.announce(server_name=self._name, url=None)
        self._ports_dir.mkdir(exist_ok=True)
        for stale in self._ports_dir.iterdir():
            stale.unlink()
        config = self._dir / "nats.conf"
        text = self._options.config(name=self._name, port=port, ports_dir=self._ports_dir)
        config.write_text(text, encoding="utf-8")
        if self.log.exists():
            self.log.replace(self.log.with_name("nats.log.1"))
        return await ServerProcess.start(
            [binary, "-c", config],
            log=self.log,
            lock_path=self._dir / "nats.lock",
            stop_limit_s=self._options.stop_limit_s,
        )

    async def _ready(self, process: ServerProcess, port: int) -> str:
        """The address of the server, as soon as it answers there as itself with JetStream on."""
        try:
            async with asyncio.timeout(self._options.start_limit_s):
                url = await self._answering(process)
        except TimeoutError as error:
            raise Misconfigured(
                f"nats-server was not ready after {self._options.start_limit_s:g} s: "
                f"read {self.log}, or allow it more time"
            ) from error
        if url is None:
            raise Misconfigured(why_not_started(self.log, self._options, port))
        damaged = damage(self.log)
        if damaged is not None:
            # The server itself goes on without such a stream, and who provisions would put an empty one in its place.
            raise Misconfigured(
                f"a stream in {self._dir / 'nats'} is damaged: restore a copy, or move it away ({damaged}; log: {self.log})"
            )
        return url

    async def _answering(self, process: ServerProcess) -> str | None:
        while process.exit_code is None:
            url = self._listed_url()
            found = await greeting(url) if url is not None else None
            if found is not None and found.server_name == self._name and found.jetstream:
                return url
            await asyncio.sleep(_POLL_S)
        return None

    @property
    def _ports_dir(self) -> Path:
        return self._dir / "ports"

    def _listed_url(self) -> str | None:
        """The address in the file that the server writes when it listens, None before that."""
        for file in self._ports_dir.glob("*.ports"):
            try:
                return str(json.loads(file.read_text())["nats"][0])
            except (OSError, ValueError, LookupError):
                # It is being written.
                return None
        return None

    def _unusable(self, error: OSError) -> Misconfigured:
        return Misconfigured(f"the data directory {self._dir} cannot be used: {error.strerror or error}")
