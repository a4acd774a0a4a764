"""Fixtures for everyone: one real nats-server for the whole session, and a name space of its own for each test."""

import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest

_OWNER = """
import asyncio, sys
from pathlib import Path
from stretto.bus.server import EmbeddedServer, ServerOptions

async def main() -> None:
    async with EmbeddedServer(ServerOptions(data_dir=Path(sys.argv[1]), sync_always=False)) as server:
        print(server.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


@pytest.fixture(scope="session")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real server with JetStream, shared by all tests, independent of their event loops."""
    owner = [sys.executable, "-c", _OWNER, str(tmp_path_factory.mktemp("server"))]
    with subprocess.Popen(owner, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url, "the server did not start; its error is in the output above"
        yield url
        # Leaving the block closes the owner's input, which makes it stop, and waits for it.


@pytest.fixture
def prefix() -> str:
    """A deployment prefix that no other test has: for subjects, stream names and buckets."""
    return f"test-{uuid.uuid4().hex[:12]}"
