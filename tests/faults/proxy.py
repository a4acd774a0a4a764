"""Proxy: a network between clients and a nats-server that breaks when told to, in the test's own process or one of its own.

    python -m tests.faults.proxy nats://127.0.0.1:4222

prints one line of JSON: `url` for clients, and `control`, where the words of `Proxy.obey` are taken, a line each. Modelled on toxiproxy,
but it knows the frames of NATS, so that it can lose one answer. No TLS.
"""

import argparse
import asyncio
import contextlib
import fnmatch
import json
import signal
import sys
from collections.abc import AsyncGenerator
from typing import Self
from urllib.parse import urlsplit

from tests.faults.frames import Frame
from tests.faults.link import Link, Mode, reset

__all__ = ["Link", "Mode", "Proxy", "tell"]


class Proxy:
    """Listens on a port of its own and connects each client to the server at `upstream`. For a block: `async with Proxy(url) as proxy`.

    What is set holds for all links and those to come; a `Link` has the same for itself alone.

    Attributes:
        links: the connections of now.
        came: how many clients have come, those that were turned away included.
        lost: how many answers have been lost.
    """

    def __init__(self, upstream: str, *, port: int = 0) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "127.0.0.1", parts.port or 4222)
        self._port = port
        self._listener: asyncio.Server | None = None
        self._up = self._down = Mode.PASS
        self._delay_s = 0.0
        self._refusing = False
        self._losing_pongs = False
        self._unanswered: list[str] = []
        self._lost_inboxes: set[str] = set()
        self._changed = asyncio.Event()
        self.links: list[Link] = []
        self.lost = 0
        self.came = 0

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = int(self._listener.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listener is not None
        self._listener.close()
        self.reset()
        while self.links:
            await self.changed()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._port}"

    async def changed(self) -> None:
        """Wait until a client comes, a link begins or ends, or an answer is lost."""
        await self._changed.wait()

    def named(self, name: str) -> list[Link]:
        """The links of clients that call themselves so."""
        return [link for link in self.links if link.name == name]

    def become(self, *, up: Mode | None = None, down: Mode | None = None) -> None:
        """Change one direction or both; DROP in both is a black hole."""
        self._up, self._down = up or self._up, down or self._down
        for link in self.links:
            link.become(self._up, self._down)

    def heal(self) -> None:
        """Let everything pass again, without delay; a link that lost bytes on the way is reset."""
        self._refusing = self._losing_pongs = False
        self._unanswered.clear()
        self._lost_inboxes.clear()
        self.delay(0.0)
        self.become(up=Mode.PASS, down=Mode.PASS)

    def delay(self, delay_s: float) -> None:
        """Have everything arrive so much later, in each direction."""
        self._delay_s = delay_s
        for link in self.links:
            link.up.delay_s = link.down.delay_s = delay_s

    def refuse(self) -> None:
        """Reset every link, and every new one as soon as it comes."""
        self._refusing = True
        self.reset()

    def reset(self) -> None:
        """Reset every link; clients may come again."""
        for link in list(self.links):
            link.reset()

    def lose_answer(self, subject: str, count: int = 1) -> None:
        """Lose the answers to the next `count` messages on subjects like this (`*` matches anything), PubAcks above all."""
        self._unanswered += [subject] * count

    def lose_pongs(self) -> None:
        """Lose the server's answers to pings, and nothing else."""
        self._losing_pongs = True

    async def obey(self, line: str) -> str:
        """Carry out a line of words; return what there is to say.

        `up|down|both pass|drop|stall`, `heal`, `delay SECONDS`, `reset`, `refuse`, `lose SUBJECT [COUNT]`, `lose-pongs`, `links`
        """
        match line.split():
            case ["up", mode]:
                self.become(up=Mode(mode))
            case ["down", mode]:
                self.become(down=Mode(mode))
            case ["both", mode]:
                self.become(up=Mode(mode), down=Mode(mode))
            case ["heal"]:
                self.heal()
            case ["delay", seconds]:
                self.delay(float(seconds))
            case ["reset"]:
                self.reset()
            case ["refuse"]:
                self.refuse()
            case ["lose", subject]:
                self.lose_answer(subject)
            case ["lose", subject, count]:
                self.lose_answer(subject, int(count))
            case ["lose-pongs"]:
                self.lose_pongs()
            case ["links"]:
                return json.dumps({"links": [link.name for link in self.links], "lost": self.lost, "came": self.came})
            case _:
                return f"what is {line.strip()!r}?"
        return "ok"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came += 1
        self._tell()
        if self._refusing:
            reset(writer)
            return
        try:
            server = await asyncio.open_connection(*self._upstream)
        except OSError:
            reset(writer)
            return
        link = Link((reader, writer), server, keep_up=self._keep_up, keep_down=self._keep_down)
        link.up.delay_s = link.down.delay_s = self._delay_s
        link.become(self._up, self._down)
        self.links.append(link)
        self._tell()
        try:
            await link.run()
        finally:
            self.links.remove(link)
            self._tell()

    def _keep_up(self, frame: Frame) -> bool:
        if self._unanswered and frame.reply:
            matching = next((one for one in self._unanswered if fnmatch.fnmatchcase(frame.subject, one)), None)
            if matching is not None:
                self._unanswered.remove(matching)
                self._lost_inboxes.add(frame.reply)
        return True

    def _keep_down(self, frame: Frame) -> bool:
        if frame.verb == "PONG" and self._losing_pongs:
            return False
        if frame.subject not in self._lost_inboxes:
            return True
        self._lost_inboxes.remove(frame.subject)
        self.lost += 1
        self._tell()
        return False

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def tell(control: str, line: str) -> str:
    """Have a proxy of another process obey."""
    host, _, port = control.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(f"{line}\n".encode())
        return (await reader.readline()).decode().strip()
    finally:
        writer.close()
        await writer.wait_closed()


@contextlib.asynccontextmanager
async def _controlled(proxy: Proxy) -> AsyncGenerator[str]:
    """The address where lines for `Proxy.obey` are taken."""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            try:
                said = await proxy.obey(line.decode())
            except ValueError as error:
                said = str(error)
            writer.write(f"{said}\n".encode())
        writer.close()

    listener = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with listener:
        host, port = listener.sockets[0].getsockname()[:2]
        yield f"{host}:{port}"


async def _main() -> None:
    words = argparse.ArgumentParser(prog="tests.faults.proxy", description=__doc__)
    words.add_argument("upstream", help="the server, as nats://host:port")
    words.add_argument("--port", type=int, default=0, help="where clients connect; 0 for any")
    given = words.parse_args()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with Proxy(given.upstream, port=given.port) as proxy, _controlled(proxy) as control:
        sys.stdout.write(json.dumps({"url": proxy.url, "control": control}) + "\n")
        sys.stdout.flush()
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(_main())
