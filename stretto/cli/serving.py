"""Serving: what the commands do that run a service: find the server, connect, serve until told to stop."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace

from stretto.bus import failpoints
from stretto.bus.server.owner import running
from stretto.cli.owner import end_with_owner
from stretto.cli.services import agent_service, memory_service, open_memory, open_model, supervisor_services
from stretto.shared.models.providers import Providers
from stretto.shared.process import Process, Service, open_process, serve
from stretto.shared.settings import Settings

__all__ = ["serve_agent", "serve_memory", "serve_supervisor", "serve_team"]


async def serve_agent(settings: Settings, name: str, *, slots: int | None, owned: bool) -> int:
    """Serve one agent."""
    from stretto.cli.agents import load_agent

    agent = load_agent(name)

    def build(process: Process, providers: Providers) -> Sequence[Service]:
        return [agent_service(process, agent, open_model(process, providers), slots=slots)]

    return await _serve_thinking(settings, agent.role, build, owned=owned)


async def serve_supervisor(settings: Settings, *, owned: bool) -> int:
    """Serve as a supervisor, with the planner."""

    def build(process: Process, providers: Providers) -> Sequence[Service]:
        return supervisor_services(process, open_model(process, providers))

    return await _serve_thinking(settings, "supervisor", build, owned=owned)


async def serve_team(settings: Settings, *, owned: bool) -> int:
    """A supervisor and the specialists in one process, for a system that lives as long as one question."""
    from stretto.cli.agents import TEAM, load_agent

    agents = [load_agent(name) for name in TEAM]

    def build(process: Process, providers: Providers) -> Sequence[Service]:
        model = open_model(process, providers)

        def as_role(role: str) -> Process:
            return replace(process, instance=f"{role}{process.instance.removeprefix('team')}")

        return [
            *supervisor_services(as_role("supervisor"), model),
            *(agent_service(as_role(agent.role), agent, model) for agent in agents),
        ]

    return await _serve_thinking(settings, "team", build, owned=owned)


async def serve_memory(settings: Settings, *, owned: bool) -> int:
    """Own the vector store and serve it."""
    async with open_memory(settings) as memory_of:
        return await _serve(settings, "memory", lambda process: [memory_service(process, memory_of)], owned=owned)


async def _serve_thinking(
    settings: Settings, role: str, build: Callable[[Process, Providers], Sequence[Service]], *, owned: bool
) -> int:
    async with Providers(settings.providers) as providers:  # closed when nobody thinks any more
        return await _serve(settings, role, lambda process: build(process, providers), owned=owned)


async def _serve(settings: Settings, role: str, build: Callable[[Process], Sequence[Service]], *, owned: bool) -> int:
    if owned:
        end_with_owner()
    url = settings.nats_url or await running(settings.data_dir)
    failpoints.arm(os.environ)
    async with open_process(settings, role, url=url) as process:
        await serve(*build(process), grace_s=settings.grace_s)
    return 0
