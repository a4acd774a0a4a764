"""Serving: what the commands do that run a service: find the server, connect, serve until told to stop."""

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from stretto.bus import failpoints
from stretto.bus.server.owner import running
from stretto.cli.owner import end_with_owner
from stretto.cli.services import (
    agent_service,
    memory_service,
    open_memory,
    open_models,
    open_providers,
    supervisor_services,
)
from stretto.shared.models.providers import Providers
from stretto.shared.process import Process, Service, open_process, serve
from stretto.shared.prompt_folder import load_prompts
from stretto.shared.settings import Settings
from stretto.shared.tools.toolset import Toolset

__all__ = ["serve_agent", "serve_memory", "serve_supervisor", "serve_team"]

_LINGER_S = 1.0


async def serve_agent(settings: Settings, name: str, *, slots: int | None, owned: bool) -> int:
    """Serve one agent."""
    from stretto.cli.agents import load_agent

    agent = load_agent(name, prompts=load_prompts(settings.prompts))

    def build(process: Process, providers: Providers, tools: Toolset) -> Sequence[Service]:
        models = open_models(process, providers)
        return [agent_service(process, agent, models.of(agent.role), tools=tools, slots=slots, panel_of=models.panel)]

    return await _serve_thinking(settings, agent.role, build, roles=[agent.role], owned=owned)


async def serve_supervisor(settings: Settings, *, owned: bool) -> int:
    """Serve as a supervisor, with the planner."""

    def build(process: Process, providers: Providers, _: Toolset) -> Sequence[Service]:
        return supervisor_services(process, open_models(process, providers))

    return await _serve_thinking(settings, "supervisor", build, roles=(), owned=owned)


async def serve_team(settings: Settings, *, owned: bool) -> int:
    """A supervisor and the specialists in one process, for a system that lives as long as one question."""
    from stretto.cli.agents import TEAM, load_agent

    prompts = load_prompts(settings.prompts)
    agents = [load_agent(name, prompts=prompts) for name in TEAM]

    def build(process: Process, providers: Providers, tools: Toolset) -> Sequence[Service]:
        models = open_models(process, providers)

        def as_role(role: str) -> Process:
            return replace(process, instance=f"{role}{process.instance.removeprefix('team')}")

        return [
            *supervisor_services(as_role("supervisor"), models),
            *(
                agent_service(as_role(agent.role), agent, models.of(agent.role), tools=tools, panel_of=models.panel)
                for agent in agents
            ),
        ]

    return await _serve_thinking(settings, "team", build, roles=[agent.role for agent in agents], owned=owned)


async def serve_memory(settings: Settings, *, owned: bool) -> int:
    """Own the vector store and serve it."""

    @contextlib.asynccontextmanager
    async def opening() -> AsyncGenerator[Sequence[Service]]:
        async with open_memory(settings) as memory_of, _open_process(settings, "memory") as process:
            yield [memory_service(process, memory_of)]

    return await _serve(settings, opening(), owned=owned)


async def _serve_thinking(
    settings: Settings,
    role: str,
    build: Callable[[Process, Providers, Toolset], Sequence[Service]],
    *,
    roles: Collection[str],
    owned: bool,
) -> int:
    @contextlib.asynccontextmanager
    async def opening() -> AsyncGenerator[Sequence[Service]]:
        # The providers and the tools are closed when nobody thinks any more.
        async with (
            _open_process(settings, role) as process,
            open_providers(process) as providers,
            Toolset(settings.tools, roles=roles, keep=process.artifacts.put) as tools,
        ):
            yield build(process, providers, tools)

    return await _serve(settings, opening(), owned=owned)


@contextlib.asynccontextmanager
async def _open_process(settings: Settings, role: str) -> AsyncGenerator[Process]:
    url = settings.nats_url or await running(settings.data_dir)
    async with open_process(settings, role, url=url) as process:
        yield process


async def _serve(settings: Settings, opening: AbstractAsyncContextManager[Sequence[Service]], *, owned: bool) -> int:
    """Exit code 0 also after a second signal: whatever was in hand has been given back. 1 where something would not end."""
    told = asyncio.Event()
    if owned:
        end_with_owner(told.set)
    failpoints.arm(os.environ)
    code = 0 if await serve(opening, grace_s=settings.grace_s, told=told) else 1
    # Threads cannot be cancelled, and Python waits for them: what a handler left in one must not keep the process.
    last = threading.Timer(_LINGER_S, os._exit, (code,))
    last.daemon = True
    last.start()
    return code
