"""The `stretto conversations` commands and their options. Each imports what it needs when it is called, so that `--help` is quick."""

from typing import Annotated

import typer

from stretto.cli.options import Json, Tenant

__all__ = ["conversations_app"]

conversations_app = typer.Typer(no_args_is_help=True, help="Threads of runs: what was asked and answered in them.")


@conversations_app.command("list")
def conversations_list(tenant: Tenant = None, as_json: Json = False) -> None:
    """All conversations, each with how many turns it has."""
    from stretto.cli.conversations import list_conversations
    from stretto.cli.execute import execute

    execute(lambda settings: list_conversations(settings, as_json=as_json), as_json=as_json, tenant=tenant)


@conversations_app.command("show")
def conversations_show(
    conversation: Annotated[str, typer.Argument(help="The conversation's id.", show_default=False)],
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """One conversation: what was asked and answered, oldest first."""
    from stretto.cli.conversations import show_conversation
    from stretto.cli.execute import execute

    execute(lambda settings: show_conversation(settings, conversation, as_json=as_json), as_json=as_json, tenant=tenant)
