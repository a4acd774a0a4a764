"""The `stretto memory` commands and their options. Each imports what it needs when it is called, so that `--help` is quick."""

from pathlib import Path
from typing import Annotated

import typer

from stretto.cli.options import Json, Owned, Quiet, Tenant

__all__ = ["memory_app"]

memory_app = typer.Typer(
    no_args_is_help=True, help="The shared memory: run its service, add documents, search, forget."
)


@memory_app.command("run")
def memory_run(owned: Owned = False) -> None:
    """Own the memory of this data directory and serve it until told to stop."""
    from stretto.cli.execute import execute
    from stretto.cli.serving import serve_memory

    execute(lambda settings: serve_memory(settings, owned=owned), is_service=True)


@memory_app.command("add")
def memory_add(
    paths: Annotated[list[Path], typer.Argument(help="Folders and files: Markdown, text, HTML, PDF, DOCX.")],
    prune: Annotated[bool, typer.Option("--prune", help="Forget documents that are no longer there.")] = False,
    tenant: Tenant = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Bring documents into the memory: unchanged ones are skipped, changed ones replaced."""
    from stretto.cli.execute import execute
    from stretto.cli.memory_commands import add

    execute(
        lambda settings: add(settings, paths, prune=prune, as_json=as_json, quiet=quiet), as_json=as_json, tenant=tenant
    )


@memory_app.command("search")
def memory_search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="Only in this root (`memory stats` lists them); may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many at the most.")] = 8,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """The passages nearest to a query, by meaning and by words."""
    from stretto.cli.execute import execute
    from stretto.cli.memory_commands import search

    execute(
        lambda settings: search(settings, query, scope=scope or (), limit=limit, as_json=as_json),
        as_json=as_json,
        tenant=tenant,
    )


@memory_app.command("forget")
def memory_forget(
    root: Annotated[str | None, typer.Option(help="The documents of this root.")] = None,
    source: Annotated[list[str] | None, typer.Option(help="This document; may be repeated.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of the tenant's.")] = False,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Drop documents from the memory."""
    from stretto.cli.execute import execute
    from stretto.cli.memory_commands import forget

    execute(
        lambda settings: forget(settings, root=root, sources=source or (), everything=everything, as_json=as_json),
        as_json=as_json,
        tenant=tenant,
    )


@memory_app.command("stats")
def memory_stats(tenant: Tenant = None, as_json: Json = False) -> None:
    """What the memory holds."""
    from stretto.cli.execute import execute
    from stretto.cli.memory_commands import stats

    execute(lambda settings: stats(settings, as_json=as_json), as_json=as_json, tenant=tenant)
