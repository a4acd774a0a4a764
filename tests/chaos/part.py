"""Part: one process under test: `stretto supervisor run` or `stretto agent run`, but for a model and tools that keep the ledger.

It is `python -m tests.chaos.part supervisor` or `... part agent NAME`. SIGUSR1 has it write down how many asyncio tasks it has.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import uvloop

from stretto.bus import failpoints
from stretto.cli.agents import load_agent
from stretto.cli.services import agent_service
from stretto.cli.serving import serve_supervisor
from stretto.shared.process import Service, open_process, serve
from stretto.shared.settings import load_settings
from tests.chaos.agents import LEDGER, LedgerModel
from tests.chaos.ledger import Ledger

__all__: list[str] = []


async def _serve(words: Sequence[str]) -> int:
    settings = load_settings()
    ledger = Ledger(Path(os.environ[LEDGER]))
    asyncio.get_running_loop().add_signal_handler(
        signal.SIGUSR1, lambda: ledger.gauge(os.getpid(), len(asyncio.all_tasks()))
    )
    match words:
        case ["supervisor"]:
            return await serve_supervisor(settings, owned=False)
        case ["agent", name]:
            agent = load_agent(name)
            failpoints.arm(os.environ)

            @contextlib.asynccontextmanager
            async def opening() -> AsyncGenerator[Sequence[Service]]:
                async with open_process(settings, agent.role) as process:
                    yield [agent_service(process, agent, LedgerModel())]

            return 0 if await serve(opening(), grace_s=settings.grace_s) else 1
        case _:
            raise SystemExit(f"no such part: {' '.join(words)}")


if __name__ == "__main__":
    logging.basicConfig(level="WARNING", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    sys.exit(uvloop.run(_serve(sys.argv[1:])))
