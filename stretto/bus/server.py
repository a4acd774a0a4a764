"""The embedded server: a real nats-server that lives and dies with the process that owns its data directory."""

import asyncio
import json
import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from stretto.bus.errors import Misconfigured, StoreLocked
from stretto.bus.server_binary import find_server
from stretto.bus.server_lock import FileLock, held_note
from stretto.bus.server_log import why_not_started
from stretto.bus.server_options import ServerOptions
from stretto.bus.server_probe import greeting
from stretto.bus.server_process import ServerProcess

__all__ = ["EmbeddedServer", "ServerOptions", "running"]

_LOCK = "lock"
_LOCK_WAIT_S = 0.5
_POLL_S = 0.005


class _Owner(BaseModel):
    """The note in the lock of a data directory."""

    pid: int
    server_name: str
    url: str | None = None


class EmbeddedServer:
    """A nats-server with JetStream, started and stopped here; no two share a data directory.

    It ends when its owner ends, however that happens. Use it as a context manager, or `start` and `stop` it. When it
    exits by itself, `wait` returns and `restart` brings it back at the same address with the same store.
    """

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._dir = options.data_dir.resolve()
        self._lock = FileLock(self._dir / _LOCK)
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
            Misconfigured: anything else that keeps it from starting, such as a port in use.
        """
        binary = await asyncio.to_thread(find_server, self._options.binary)
        try:
            self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not await self._lock.acquire(_LOCK_WAIT_S):
                raise StoreLocked(_who_has(self._dir))
        except OSError as error:
            raise self._unusable(error) from error
        try:
            await self._launch(binary, self._options.port)
        except BaseException:
            self._lock.release()
            raise

    async def stop(self) -> None:
        """Stop the server, killing it after the limit, and let go of the data directory. Harmless when stopped."""
        try:
            if self._process is not None:
                await self._process.stop()
                self._process = None
        finally:
            self._url = None
            self._lock.release()

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
        ports_dir = self._dir / "ports"
        config = self._dir / "nats.conf"
        try:
            self._note(url=None)
            ports_dir.mkdir(exist_ok=True)
            for stale in ports_dir.iterdir():
                stale.unlink()
            config.write_text(self._options.config(name=self._name, port=port, ports_dir=ports_dir), encoding="utf-8")
            if self.log.exists():
                self.log.replace(self.log.with_name("nats.log.1"))
            process = await ServerProcess.start(
                [binary, "-c", config],
                log=self.log,
                lock_path=self._dir / "nats.lock",
                stop_limit_s=self._options.stop_limit_s,
            )
        except OSError as error:
            raise self._unusable(error) from error
        try:
            url = await self._ready(process, ports_dir, port)
            self._note(url=url)
        except BaseException:
            await process.stop()
            raise
        self._process = process
        self._url = url

    async def _ready(self, process: ServerProcess, ports_dir: Path, port: int) -> str:
        """The address of the server, as soon as it answers there as itself with JetStream on."""
        limit_s = self._options.start_limit_s
        try:
            async with asyncio.timeout(limit_s):
                while process.exit_code is None:
                    url = _listed_url(ports_dir)
                    found = await greeting(url) if url is not None else None
                    if url is not None and found is not None and found.server_name == self._name and found.jetstream:
                        return url
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            raise Misconfigured(
                f"nats-server was not ready after {limit_s:g} s: read {self.log}, or allow it more time"
            ) from error
        raise Misconfigured(why_not_started(self.log, self._options, port))

    def _note(self, url: str | None) -> None:
        self._lock.write_note(_Owner(pid=os.getpid(), server_name=self._name, url=url).model_dump_json())

    def _unusable(self, error: OSError) -> Misconfigured:
        return Misconfigured(
            f"the data directory {self._dir} cannot be used: {error.strerror or error} ({error.filename})"
        )


async def running(data_dir: Path) -> str | None:
    """The URL of the system that runs on `data_dir` now, None where none does or it does not answer.

    What a crash left behind is never taken for a system: its lock is held by a living process, and the server at the
    URL answers with the name that the owner gave it.

    Raises:
        Misconfigured: this user may not look into the directory.
    """
    try:
        owner = _owner_of(data_dir)
    except OSError as error:
        raise Misconfigured(f"{data_dir / _LOCK} cannot be read: {error.strerror or error}") from error
    if owner is None or owner.url is None:
        return None
    found = await greeting(owner.url)
    return owner.url if found is not None and found.server_name == owner.server_name else None


def _owner_of(data_dir: Path) -> _Owner | None:
    note = held_note(data_dir / _LOCK)
    try:
        return _Owner.model_validate_json(note) if note else None
    except ValidationError:
        return None


def _who_has(data_dir: Path) -> str:
    owner = _owner_of(data_dir)
    who = "another process" if owner is None else f"process {owner.pid}"
    where = f" at {owner.url}" if owner is not None and owner.url is not None else ""
    return f"{who} runs a system on {data_dir}{where}: use that one, stop it, or choose another data directory"


def _listed_url(ports_dir: Path) -> str | None:
    """The address in the server's ports file, None before it is written."""
    for file in ports_dir.glob("*.ports"):
        try:
            return str(json.loads(file.read_text())["nats"][0])
        except (OSError, ValueError, LookupError):
            # It is being written.
            return None
    return None
