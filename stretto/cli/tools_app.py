"""The `stretto tools` commands and their options. Each imports what it needs when it is called, so that `--help` is quick."""

from typing import Annotated

import typer

from stretto.cli.options import Json

__all__ = ["tools_app"]

tools_app = typer.Typer(no_args_is_help=True, help="The tools that agents may use here.")


@tools_app.command("list")
def tools_list(as_json: Json = False) -> None:
    """The tools of the settings: whose they are, what it means to call them twice, and whether they can be reached now."""
    from stretto.cli.execute import execute
    from stretto.cli.tools_commands import list_tools

    execute(lambda settings: list_tools(settings, as_json=as_json), as_json=as_json)


@tools_app.command("call")
def tools_call(
    name: Annotated[str, typer.Argument(help="The tool, as `stretto tools list` calls it.")],
    arguments: Annotated[str, typer.Argument(help="Its arguments, as one JSON object.")] = "{}",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a call that has consequences.")] = False,
    key: Annotated[
        str | None, typer.Option(help="The idempotency key; without one a new key: then it happens once more.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Call a tool once, to try it: no agent takes part, no run is begun, and nothing is recorded."""
    from stretto.cli.execute import execute
    from stretto.cli.tools_commands import call_tool

    execute(
        lambda settings: call_tool(settings, name, arguments, yes=yes, key=key, as_json=as_json),
        as_json=as_json,
    )
