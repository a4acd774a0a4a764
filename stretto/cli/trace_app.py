"""The `stretto trace` commands and their options. Each imports what it needs when it is called, so that `--help` is quick."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from stretto.cli.options import Json, Tenant

if TYPE_CHECKING:
    from stretto.shared.settings import Settings

__all__ = ["trace_app"]

_SHOW = "show"


class _RunOrCommand(TyperGroup):
    """`stretto trace RUN` is `stretto trace show RUN`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands:
            args = [_SHOW, *args]
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0].startswith("-") and args[0] not in ctx.help_option_names:
            args = [_SHOW, *args]  # options before the run
        return super().parse_args(ctx, args)


trace_app = typer.Typer(
    cls=_RunOrCommand,
    no_args_is_help=True,
    help="What a run did, and what it waited for: `stretto trace RUN`, or `stretto trace last`.",
)


@trace_app.command(_SHOW)
def trace_show(
    run: Annotated[str, typer.Argument(help="The run's id, its beginning, or `last`.", show_default=False)],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on showing it until its answer.")] = False,
    messages: Annotated[bool, typer.Option("--messages", "-m", help="Who said what to whom.")] = False,
    full: Annotated[bool, typer.Option("--full", help="With --messages: long texts whole.")] = False,
    otlp: Annotated[
        Path | None, typer.Option(help="Write its spans as OTLP/JSON, which any viewer takes; - for stdout.")
    ] = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """One run as a tree with bars for time: its plan, tasks, attempts, calls, and what each waited for."""
    from stretto.cli import trace
    from stretto.cli.check import check_one_of
    from stretto.cli.execute import execute

    async def show(settings: "Settings") -> int:
        check_one_of({"--follow": follow, "--messages": messages, "--otlp": otlp is not None, "--json": as_json})
        if otlp is not None:
            return await trace.export_trace(settings, run, otlp)
        if messages:
            return await trace.show_messages(settings, run, full=full)
        if follow:
            return await trace.follow_trace(settings, run)
        return await trace.show_trace(settings, run, as_json=as_json)

    execute(show, as_json=as_json, tenant=tenant)


@trace_app.command("list")
def trace_list(
    state: Annotated[
        Literal["completed", "failed", "cancelled", "rejected", "open", "waiting"] | None,
        typer.Option(help="Only runs that stand so."),
    ] = None,
    since: Annotated[str | None, typer.Option(help="Only those asked since then: 30m, 2h, 1d, or a date.")] = None,
    slower: Annotated[float | None, typer.Option(min=0, help="Only those that took longer, in seconds.")] = None,
    playbook: Annotated[str | None, typer.Option(help="Only those that are over and followed this playbook.")] = None,
    text: Annotated[str | None, typer.Option(help="Only those whose request has this in it.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many at the most.")] = 20,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """The latest runs with their time, tokens, cost and failures, newest first."""
    from stretto.cli.execute import execute
    from stretto.cli.trace_list import list_traces

    execute(
        lambda settings: list_traces(
            settings,
            state=state,
            since=since,
            slower_s=slower,
            playbook=playbook,
            text=text,
            limit=limit,
            as_json=as_json,
        ),
        as_json=as_json,
        tenant=tenant,
    )
