"""The `stretto runs` commands and their options. Each imports what it needs when it is called, so that `--help` is quick."""

from typing import Annotated

import typer

from stretto.cli.options import Json, Quiet, Tenant

__all__ = ["runs_app"]

runs_app = typer.Typer(no_args_is_help=True, help="What was asked, and what became of it.")

Run = Annotated[str, typer.Argument(help="The run's id.", show_default=False)]


@runs_app.command("list")
def runs_list(
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many at the most.")] = 20,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """The latest runs, newest first."""
    from stretto.cli.execute import execute
    from stretto.cli.runs import list_runs

    execute(lambda settings: list_runs(settings, limit=limit, as_json=as_json), as_json=as_json, tenant=tenant)


@runs_app.command("show")
def runs_show(run: Run, tenant: Tenant = None, as_json: Json = False) -> None:
    """One run: everything that happened in it, where it stands, and its answer."""
    from stretto.cli.execute import execute
    from stretto.cli.run_log import show_run

    execute(lambda settings: show_run(settings, run, as_json=as_json), as_json=as_json, tenant=tenant)


@runs_app.command("wait")
def runs_wait(
    run: Run,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds to wait at the most; the run goes on.", min=0.1)
    ] = None,
    tenant: Tenant = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Wait for a run's answer, however long people take, and end as `stretto ask` does."""
    from stretto.cli.execute import execute
    from stretto.cli.run_wait import wait_for_run

    execute(
        lambda settings: wait_for_run(settings, run, timeout_s=timeout, as_json=as_json, quiet=quiet),
        as_json=as_json,
        tenant=tenant,
    )


@runs_app.command("cancel")
def runs_cancel(
    run: Run,
    reason: Annotated[str, typer.Option(help="Why, for those who look at the run.")] = "",
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """End a run: what is under way is stopped, what is queued withdrawn."""
    from stretto.cli.execute import execute
    from stretto.cli.run_cancel import cancel_run

    execute(lambda settings: cancel_run(settings, run, reason=reason, as_json=as_json), as_json=as_json, tenant=tenant)
