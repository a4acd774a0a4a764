"""Services: from settings and a place on the bus to what a process serves. These are the composition roots of all processes."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from stretto.agents.agent import Agent
from stretto.agents.panel import PanelOf, no_panel
from stretto.agents.worker import Worker
from stretto.bus.rate import RateCounters
from stretto.bus.subjects import check_token
from stretto.cli.models import Models, check_model
from stretto.shared.memory.client import MemoryClient
from stretto.shared.memory.errors import MemoryRefused
from stretto.shared.memory.protocol import Memory
from stretto.shared.models.protocol import Model
from stretto.shared.models.providers import Providers
from stretto.shared.models.rate_limits import RateLimits
from stretto.shared.process import Process, Service
from stretto.shared.prompt_folder import load_prompts
from stretto.shared.settings import Settings
from stretto.shared.tools.toolset import Toolset

if TYPE_CHECKING:
    from stretto.supervisor.playbook_file import Playbook

__all__ = ["agent_service", "memory_service", "open_memory", "open_models", "open_providers", "supervisor_services"]

_MEMORY_PATIENCE_S: Final = 20.0
"""A task waits so long for a memory service that is just being restarted, before the attempt fails."""


def open_providers(process: Process) -> Providers:
    """The deployment's providers, with their prices, and their limits as all its processes share them."""
    settings = process.settings
    counters = RateCounters(connection=process.connection, subjects=process.deployment.subjects)
    return Providers(
        settings.providers,
        prices=process.prices,
        rates=RateLimits(providers=settings.providers, shared=counters),
    )


def open_models(process: Process, providers: Providers) -> Models:
    """The models that the settings name; all agents of a process share them.

    Raises:
        SettingsError: there cannot be one of that name.
    """
    settings = process.settings
    memory = process.memory_of(settings.tenant, patience_s=_MEMORY_PATIENCE_S)
    return Models(settings, providers=providers, embed=memory.embed)


def agent_service(
    process: Process,
    agent: Agent[Any, Any],
    model: Model,
    *,
    tools: Toolset | None = None,
    slots: int | None = None,
    panel_of: PanelOf = no_panel,
) -> Worker:
    """An agent that thinks with this model; `panel_of` opens others for tasks whose plan asks several.

    Raises:
        SettingsError: two of its tools have one name.
    """
    from stretto.shared.models.offline.model import OfflineModel

    def memory_of(tenant: str) -> MemoryClient:
        return process.memory_of(tenant, patience_s=_MEMORY_PATIENCE_S)

    return Worker(
        agent=agent,
        connection=process.connection,
        deployment=process.deployment,
        wire=process.wire,
        model=model,
        memory_of=memory_of,
        instance=process.instance,
        slots=slots,
        tools=tools.of(agent.role, beside=agent.tools) if tools else (),
        panel_of=panel_of,
        purse_of=process.books.purse_of,
        spare=OfflineModel(embed=process.memory_of(process.settings.tenant, patience_s=_MEMORY_PATIENCE_S).embed),
    )


def supervisor_services(process: Process, models: Models) -> tuple[Service, ...]:
    """A supervisor, and the planner agent beside it.

    Raises:
        PlaybookError: a playbook is wrong; the text says where.
        SettingsError: a playbook asks a model that there cannot be.
        NotConfigured, KeyMissing, ScriptMismatch: the planner has no model that can be used; the text says why.
    """
    from stretto.supervisor.choose import Chooser
    from stretto.supervisor.decide import Limits
    from stretto.supervisor.loop import Supervisor
    from stretto.supervisor.planner import Planner
    from stretto.supervisor.playbooks import Playbooks
    from stretto.supervisor.router import Router

    settings = process.settings
    playbooks = Playbooks.load(settings.playbooks)
    _check_ensembles(playbooks, settings)
    router = Router(playbooks=playbooks, embed=process.memory_of(settings.tenant).embed)
    supervisor = Supervisor(
        connection=process.connection,
        deployment=process.deployment,
        wire=process.wire,
        artifacts=process.artifacts,
        chooser=Chooser(playbooks=playbooks, router=router, retries=settings.retries, budget=settings.budget),
        limits=Limits(run_deadline_s=settings.run_deadline_s, role_wait_s=settings.role_wait_s),
        instance=process.instance,
    )
    beside = replace(process, instance=process.instance.replace("supervisor", "planner", 1))
    return supervisor, agent_service(beside, Planner(prompts=load_prompts(settings.prompts)), models.of(Planner.role))


def _check_ensembles(playbooks: "Iterable[Playbook]", settings: Settings) -> None:
    """Raises SettingsError when a task asks a model that there cannot be."""
    for playbook in playbooks:
        for task in playbook.tasks:
            for name in task.ensemble.models if task.ensemble else ():
                check_model(name, settings.providers, setting=f"{playbook.file}: task {task.id}")


@contextlib.asynccontextmanager
async def open_memory(settings: Settings) -> AsyncGenerator[Callable[[str], Memory]]:
    """Own the vector store of the data directory; what is yielded gives a tenant's memory.

    Raises:
        StoreUnusable, EmbedderUnusable: they cannot be opened; another process may own the store.
    """
    from stretto.shared.memory.embedder import MiniLM
    from stretto.shared.memory.local import LocalMemory
    from stretto.shared.memory.store import VectorStore

    embedder = MiniLM()
    store = VectorStore(settings.data_dir / "memory", embedder=embedder.name, dimensions=embedder.dimensions)

    def memory_of(tenant: str) -> Memory:
        try:
            return LocalMemory(tenant=check_token(tenant, "tenant"), store=store, embedder=embedder)
        except ValueError as error:
            raise MemoryRefused(str(error)) from error

    # Both take a second of imports, and both import numpy, which two threads must not do at once.
    with contextlib.suppress(ImportError):  # told below, by whoever needs it
        await asyncio.to_thread(__import__, "numpy")
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(store.open))
            group.create_task(asyncio.to_thread(embedder.load))
        yield memory_of
    finally:
        await asyncio.to_thread(store.close)


def memory_service(process: Process, memory_of: Callable[[str], Memory]) -> Service:
    """The service that lets others reach an opened memory."""
    from stretto.shared.memory.service import MemoryService

    return MemoryService(
        connection=process.connection,
        subjects=process.deployment.subjects,
        wire=process.wire,
        memory_of=memory_of,
        instance=process.instance,
    )
