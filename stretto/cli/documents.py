"""Documents: brings files and folders into the memory of a running system."""

from collections.abc import Callable, Sequence
from pathlib import Path

from stretto.bus.artifacts import Artifacts
from stretto.bus.connection import Connection
from stretto.bus.wire import Wire
from stretto.cli.errors import UsageFailed
from stretto.cli.terminal import say
from stretto.shared.memory.client import MemoryClient
from stretto.shared.memory.ingest_report import IngestProgress, IngestReport
from stretto.shared.settings import Settings

__all__ = ["add_documents", "check_paths", "ingest", "memory_client"]


def check_paths(paths: Sequence[Path]) -> None:
    """Raises UsageFailed when one of them is not there, or is neither a folder nor a file (a pipe would be waited on for ever)."""
    for path in paths:
        found = path.expanduser()
        if not found.exists():
            raise UsageFailed(f"{path} does not exist: name a folder or a file of documents")
        if not (found.is_dir() or found.is_file()):
            raise UsageFailed(f"{path} is neither a folder nor a file: name a folder or a file of documents")


def memory_client(settings: Settings, connection: Connection) -> MemoryClient:
    """The memory of the settings' tenant."""
    subjects = settings.deployment.subjects
    return MemoryClient(
        connection=connection,
        subjects=subjects,
        wire=Wire(artifacts=Artifacts(connection=connection, subjects=subjects)),
        tenant=settings.tenant,
        sender=settings.principal,
    )


async def add_documents(
    settings: Settings,
    connection: Connection,
    paths: Sequence[Path],
    *,
    on_progress: Callable[[IngestProgress], None],
) -> tuple[str, ...]:
    """Bring these documents into the memory; return their roots, each once. Those that cannot be read are told at stderr.

    Raises:
        NothingToRead: a path holds no readable document.
        MemoryFailed: the memory does not take them.
    """
    reports = [await ingest(settings, connection, path, on_progress=on_progress) for path in paths]
    for report in reports:
        for failure in report.failed:
            say(f"stretto: {failure.source} was not read: {failure.reason}")
    return tuple(dict.fromkeys(report.root for report in reports))


async def ingest(
    settings: Settings,
    connection: Connection,
    path: Path,
    *,
    prune: bool = False,
    on_progress: Callable[[IngestProgress], None],
) -> IngestReport:
    """Bring the documents at `path` into the memory. Raises as `add_documents`."""
    from stretto.shared.memory.ingest import Ingest

    work = Ingest(memory=memory_client(settings, connection), writer=settings.principal)
    return await work.run(path, prune=prune, on_progress=on_progress)
