"""Run cancel: a run is ended before it has come to its end."""

from typing import Final

from stretto.bus.errors import TimedOut
from stretto.cli.check import check_usage
from stretto.cli.ending import ending_data, tell_ending
from stretto.cli.errors import CliError
from stretto.cli.output import write_json
from stretto.cli.requester_tracing import trace_requester
from stretto.cli.run_wait import known_answer
from stretto.cli.running_system import open_log, running_url
from stretto.cli.terminal import say
from stretto.shared.contracts.answer import Answer
from stretto.shared.requester import Requester, requester_on
from stretto.shared.settings import Settings

__all__ = ["cancel_run"]

_WAIT_S: Final = 5.0


async def cancel_run(settings: Settings, run: str, *, reason: str, as_json: bool) -> int:
    """Cancel the run, and say what was withdrawn and what it has cost.

    Raises:
        UsageFailed: nothing is known of such a run.
        CliError: it is over already.
    """
    check_usage(run, "run id")
    alone = await running_url(settings) is None
    async with open_log(settings) as connection, trace_requester(settings, connection):
        requester = requester_on(connection, settings)
        before = await known_answer(requester, settings, run)
        if before is not None:
            raise CliError(f"run {run} is over already: {before.state}")
        await requester.cancel(run, reason=reason)
        answer = None if alone else await _answer(requester, run)
    if answer is not None and answer.state != "cancelled":
        raise CliError(f"run {run} was over before it could be cancelled: {answer.state}")
    if as_json:
        write_json(ending_data(run, answer) if answer else {"run": run, "state": "open"})
    if answer is not None:
        tell_ending(settings, run, answer, own=False)
    elif alone:
        say(f"stretto: run {run} ends as soon as a system runs on {settings.data_dir}: `stretto up`")
    else:
        say(f"stretto: run {run} is to be cancelled, but has not ended yet: see `stretto runs show {run}`")
    return 0


async def _answer(requester: Requester, run: str) -> Answer | None:
    try:
        return await requester.result(run, timeout_s=_WAIT_S)
    except TimedOut:  # no supervisor, or a busy one: the command is in the log
        return None
