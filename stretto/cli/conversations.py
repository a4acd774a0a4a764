"""Conversations: what was asked and answered in the threads of runs, from what is stored of them."""

from collections.abc import Sequence

from stretto.bus.artifacts import Artifacts
from stretto.bus.connection import Connection
from stretto.bus.wire import Wire
from stretto.cli.check import check_usage
from stretto.cli.errors import UsageFailed
from stretto.cli.output import write_json, write_table
from stretto.cli.running_system import open_log
from stretto.cli.terminal import show
from stretto.shared.contracts.conversation import Turn
from stretto.shared.conversations import Conversations
from stretto.shared.settings import Settings

__all__ = ["list_conversations", "show_conversation"]


async def list_conversations(settings: Settings, *, as_json: bool) -> int:
    """The tenant's conversations, by name."""
    async with open_log(settings) as connection:
        names = sorted((await _stored(settings, connection).names()).items())
    if as_json:
        write_json({"conversations": [{"conversation": name, "turns": turns} for name, turns in names]})
    else:
        write_table(("conversation", "turns"), names)
    return 0


async def show_conversation(settings: Settings, conversation: str, *, as_json: bool) -> int:
    """What was asked and answered in it, oldest first.

    Raises:
        UsageFailed: there is no such conversation.
    """
    check_usage(conversation, "conversation")
    async with open_log(settings) as connection:
        turns = await _stored(settings, connection).turns(conversation)
    if not turns:
        raise UsageFailed(f"there is no conversation {conversation}: see `stretto conversations list`")
    if as_json:
        told = [turn.model_dump(mode="json") for turn in turns]
        write_json({"conversation": conversation, "turns": told})
    else:
        show(_text(turns))
    return 0


def _stored(settings: Settings, connection: Connection) -> Conversations:
    subjects = settings.deployment.subjects
    wire = Wire(artifacts=Artifacts(connection=connection, subjects=subjects))
    return Conversations(connection, subjects, wire, settings.tenant, settings.principal)


def _text(turns: Sequence[Turn]) -> str:
    return "\n\n".join(
        f"{turn.at.astimezone():%Y-%m-%d %H:%M:%S}  run {turn.run}\n> {turn.request}\n{turn.answer or '(not answered)'}"
        for turn in turns
    )
