"""Run wait: a run that somebody started is waited for."""

import asyncio
import contextlib

from stretto.bus.errors import TimedOut
from stretto.cli.check import check_usage
from stretto.cli.ending import write_ending
from stretto.cli.errors import NotReachable, UsageFailed
from stretto.cli.progress_view import progress_view
from stretto.cli.running_system import connect_to_running, open_log, running_url
from stretto.shared.contracts.answer import Answer
from stretto.shared.requester import Requester, requester_on
from stretto.shared.settings import Settings

__all__ = ["known_answer", "wait_for_run"]


async def wait_for_run(settings: Settings, run: str, *, timeout_s: float | None, as_json: bool, quiet: bool) -> int:
    """Wait for the run's answer, and write it.

    Raises:
        UsageFailed: nothing is known of such a run.
        NotReachable: it has no answer, and no system runs that would give it one.
        TimedOut: there is none within `timeout_s`.
    """
    check_usage(run, "run id")
    if await running_url(settings) is None:
        async with open_log(settings) as connection:
            answer = await known_answer(requester_on(connection, settings), settings, run)
        if answer is None:
            raise NotReachable(f"run {run} has no answer yet, and no system runs on {settings.data_dir}: `stretto up`")
        return write_ending(settings, run, answer, own=False, as_json=as_json)
    async with connect_to_running(settings, name="wait") as (connection, _):
        requester = requester_on(connection, settings)
        await known_answer(requester, settings, run)
        answer = await _wait(requester, run, timeout_s=timeout_s, quiet=quiet)
    return write_ending(settings, run, answer, own=False, as_json=as_json)


async def known_answer(requester: Requester, settings: Settings, run: str) -> Answer | None:
    """The run's answer, None while it has none.

    Raises:
        UsageFailed: nothing is known of such a run.
    """
    log = await requester.log(run)
    if not log:
        raise UsageFailed(f"nothing is known of run {run} of tenant {settings.tenant}: see `stretto runs list`")
    return next((event.message for event in log if isinstance(event.message, Answer)), None)


async def _wait(requester: Requester, run: str, *, timeout_s: float | None, quiet: bool) -> Answer:
    try:
        with progress_view(quiet=quiet) as view:
            async with asyncio.timeout(timeout_s), contextlib.aclosing(requester.events(run)) as events:
                async for event in events:
                    view.event(event)
                    if isinstance(event.message, Answer):
                        return event.message
    except TimeoutError as error:
        raise TimedOut(f"run {run} has no answer after {timeout_s:g} s; it goes on") from error
    raise AssertionError("events end with the answer")
