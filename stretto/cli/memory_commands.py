"""Memory commands: add, search, forget and count, in the memory of the running system or in one opened for the command."""

import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict
from pathlib import Path

from stretto.bus.connection import Connection
from stretto.cli.documents import check_paths, ingest, memory_client
from stretto.cli.errors import ExitCode, UsageFailed
from stretto.cli.output import write_json, write_table
from stretto.cli.progress_view import progress_view
from stretto.cli.ready import OTHERS_WAIT_S, OWN_WAIT_S, wait_until_served
from stretto.cli.system import MEMORY, open_system
from stretto.cli.terminal import printable, say
from stretto.shared.memory.client import MemoryClient
from stretto.shared.memory.service import MEMORY_ROLE
from stretto.shared.settings import Settings

__all__ = ["add", "forget", "search", "stats"]


async def add(settings: Settings, paths: Sequence[Path], *, prune: bool, as_json: bool, quiet: bool) -> int:
    """Bring documents into the memory: unchanged ones are skipped, changed ones replaced."""
    check_paths(paths)
    with contextlib.ExitStack() as shown:
        view = shown.enter_context(progress_view(quiet=quiet))
        async with _memory(settings) as (connection, _):
            reports = [await ingest(settings, connection, path, prune=prune, on_progress=view.ingest) for path in paths]
        shown.close()
    for failure in (failure for report in reports for failure in report.failed):
        say(f"stretto: {failure.source} was not read: {failure.reason}")
    if as_json:
        write_json({"roots": [asdict(report) for report in reports]})
    else:
        columns = ("added", "replaced", "unchanged", "pruned", "empty", "ignored", "passages")
        write_table(
            ("root", *columns, "failed"),
            ((one.root, *(getattr(one, name) for name in columns), len(one.failed)) for one in reports),
        )
    return ExitCode.FAILED if any(report.failed for report in reports) else ExitCode.OK


async def search(settings: Settings, query: str, *, scope: Sequence[str], limit: int, as_json: bool) -> int:
    """The passages nearest to the query, by meaning and by words."""
    async with _memory(settings) as (_, memory):
        found = await memory.search(query, scope=scope, limit=limit)
    if as_json:
        write_json(
            {
                "searched": found.searched,
                "hits": [
                    {
                        "id": hit.record.id,
                        "root": hit.record.root,
                        "source": hit.record.source,
                        "place": hit.record.place,
                        "text": hit.record.text,
                        "similarity": hit.similarity,
                        "score": hit.score,
                    }
                    for hit in found.hits
                ],
            }
        )
        return 0
    for hit in found.hits:
        record = hit.record
        head = f"{record.source}{f', {record.place}' if record.place else ''} ({hit.similarity:.2f})"
        print(printable(f"{head}\n    " + record.text.replace("\n", "\n    ")) + "\n")  # noqa: T201 (the command's own output)
    if not found.hits:
        say(
            "stretto: nothing was found"
            if found.searched
            else "stretto: the memory is empty: `stretto memory add PATH`"
        )
    return 0


async def forget(
    settings: Settings, *, root: str | None, sources: Sequence[str], everything: bool, as_json: bool
) -> int:
    """Drop a root, some sources, or everything of the tenant."""
    if everything == bool(root is not None or sources):
        raise UsageFailed("say what to forget: --root, --source, or --all")
    async with _memory(settings) as (_, memory):
        count = await memory.forget(root=root, sources=sources, everything=everything)
    if as_json:
        write_json({"forgotten": count})
    else:
        print(f"{count} passages are forgotten")  # noqa: T201 (the command's own output)
    return 0


async def stats(settings: Settings, *, as_json: bool) -> int:
    """What the memory of the tenant holds."""
    async with _memory(settings) as (_, memory):
        counts, sources = await memory.stats(), await memory.sources()
    if as_json:
        write_json(
            {
                "tenant": settings.tenant,
                "documents": counts.sources,
                "passages": counts.records,
                "embedder": counts.embedder,
                "dimensions": counts.dimensions,
                "roots": list(counts.roots),
                "sources": [{"root": one.root, "source": one.source, "passages": one.passages} for one in sources],
            }
        )
        return 0
    print(f"{counts.sources} documents, {counts.records} passages, embedded by {counts.embedder}")  # noqa: T201 (as above)
    per_root = {root: [one for one in sources if one.root == root] for root in counts.roots}
    write_table(
        ("root", "documents", "passages"),
        ((root, len(ones), sum(one.passages for one in ones)) for root, ones in per_root.items()),
    )
    return 0


@contextlib.asynccontextmanager
async def _memory(settings: Settings) -> AsyncGenerator[tuple[Connection, MemoryClient]]:
    async with (
        open_system(settings, MEMORY) as system,
        await Connection.open(settings.connection(system.url, name="memory")) as connection,
    ):
        wait_s = OWN_WAIT_S if system.own else OTHERS_WAIT_S
        await wait_until_served(connection, settings.deployment.subjects, MEMORY_ROLE, timeout_s=wait_s)
        yield connection, memory_client(settings, connection)
