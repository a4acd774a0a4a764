"""Ask: from a question on the command line to its answer."""

import asyncio
import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from stretto.bus.connection import Connection
from stretto.bus.envelope import describe, new_id
from stretto.bus.errors import Busy
from stretto.cli.agents import TEAM as TEAM_ROLES
from stretto.cli.check import check_usage
from stretto.cli.documents import add_documents, check_paths
from stretto.cli.ending import write_ending
from stretto.cli.errors import Interrupted, NotReachable, SystemGone, UsageFailed
from stretto.cli.following import Parked, follow
from stretto.cli.interrupt import on_interrupt
from stretto.cli.progress_view import progress_view
from stretto.cli.ready import OTHERS_WAIT_S, OWN_WAIT_S, wait_until_served
from stretto.cli.requester_tracing import trace_requester
from stretto.cli.system import MEMORY, TEAM, System, open_system
from stretto.cli.terminal import say
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.budget import Budget, tightest
from stretto.shared.contracts.request import MAX_REQUEST_CHARS, Request
from stretto.shared.requester import Requester, requester_on
from stretto.shared.settings import Settings
from stretto.shared.telemetry.process_tracing import tracing_of

__all__ = ["Question", "ask"]

_NEW: Final = "new"
_OTHER_SYSTEMS: Final = 4
_CANCEL_WAIT_S: Final = 5.0
_BUSY_PATIENCE_S: Final = 60.0
"""A busy system is asked again for so long, if no time limit was given."""


@dataclass(frozen=True, slots=True)
class Question:
    """What `stretto ask` was given.

    Attributes:
        docs: added to the memory first; the answer then comes from them alone.
        timeout_s: after this the run fails.
        conversation: the thread of runs that it belongs to; `new` for a new one.
        budget: what the run may take, by the names of `Budget`; None for what was not said.
    """

    text: str
    docs: Sequence[Path] = ()
    playbook: str | None = None
    timeout_s: float | None = None
    run: str | None = None
    conversation: str | None = None
    budget: Mapping[str, float | str | None] = field(default_factory=dict[str, float | str | None])

    def request(self, scope: Sequence[str]) -> Request:
        """The request.

        Raises:
            UsageFailed: the text is empty or too long, the playbook's name is none, or a limit is not possible.
        """
        if not self.text.strip():
            raise UsageFailed("the request is empty: say what you want to know")
        if len(self.text) > MAX_REQUEST_CHARS:
            raise UsageFailed(
                f"the request has {len(self.text)} characters, more than {MAX_REQUEST_CHARS}: put long texts into --docs"
            )
        try:
            return Request(
                text=self.text,
                playbook=self.playbook,
                conversation=self.conversation,
                scope=tuple(scope),
                deadline_s=self.timeout_s,
                budget=tightest([Budget.model_validate(self.budget)]),
            )
        except ValidationError as error:
            raise UsageFailed(f"the request cannot be sent: {describe(error)}") from error


async def ask(settings: Settings, question: Question, *, as_json: bool, quiet: bool) -> int:
    """Answer the question on stdout; return the exit code. Control-C cancels the run."""
    # Before anything is started:
    question.request(())
    check_paths(question.docs)
    tracing_of()
    if question.run is not None:
        check_usage(question.run, "run id")
    if question.conversation is not None:
        check_usage(question.conversation, "conversation")
    if question.conversation == _NEW:
        question = replace(question, conversation=new_id())
        say(f"stretto: conversation {question.conversation}")
    asking = _Asking(settings, question, as_json=as_json, quiet=quiet)
    work = asyncio.ensure_future(asking.run())
    with on_interrupt(lambda: asking.interrupt(work)):
        await asyncio.wait({work})
    if work.cancelled():
        raise Interrupted("interrupted before the request was submitted")
    return work.result()


class _Asking:
    """One question on its way."""

    def __init__(self, settings: Settings, question: Question, *, as_json: bool, quiet: bool) -> None:
        self._settings = settings
        self._question = question
        self._run = question.run or new_id()
        self._as_json = as_json
        self._view = progress_view(quiet=quiet)
        self._submitted = False
        self._interrupted = asyncio.Event()

    def interrupt(self, work: asyncio.Future[int]) -> None:
        """Cancel the run, if there is one; at the second time, leave at once."""
        if self._submitted and not self._interrupted.is_set():
            self._interrupted.set()
        else:
            work.cancel()

    async def run(self) -> int:
        for _ in range(_OTHER_SYSTEMS):
            try:
                return await self._once()
            except ExceptionGroup as errors:
                if errors.subgroup(SystemGone) is None:
                    raise
                # It was another command's, and ended with that. The run lies in the store: under the same id it goes on.
                self._view.step("the system that was used has stopped")
        raise NotReachable(f"the system on {self._settings.data_dir} stopped {_OTHER_SYSTEMS} times: ask again later")

    async def _once(self) -> int:
        with contextlib.ExitStack() as shown:
            view = shown.enter_context(self._view)
            view.step("looking for a running system")
            async with open_system(self._settings, MEMORY, TEAM, on_start=view.step) as system:
                ended = await self._on(system)
                shown.close()  # the display ends before the answer is written, and the answer is there before our system ends
                return write_ending(self._settings, self._run, ended, own=system.own, as_json=self._as_json)

    async def _on(self, system: System) -> Answer | Parked:
        settings, docs = self._settings, self._question.docs
        subjects = settings.deployment.subjects
        async with (
            await Connection.open(settings.connection(system.url, name="ask")) as connection,
            trace_requester(settings, connection),
        ):
            # What our own system is made of will be there; of a running one, only what the question needs is asked for.
            parts = ("memory", *TEAM_ROLES) if system.own else ("memory",) if docs else ()
            wait_s = OWN_WAIT_S if system.own else OTHERS_WAIT_S
            await wait_until_served(connection, subjects, "supervisor", *parts, timeout_s=wait_s)
            scope = await add_documents(settings, connection, docs, on_progress=self._view.ingest)
            async with asyncio.TaskGroup() as group:
                cancelling = group.create_task(self._cancel_when_interrupted(requester_on(connection, settings)))
                try:
                    return await self._answer(connection, scope)
                finally:
                    cancelling.cancel()

    async def _answer(self, connection: Connection, scope: Sequence[str]) -> Answer | Parked:
        """Submit and follow; a system that is busy is asked again, as long as there is time."""
        loop = asyncio.get_running_loop()
        request, limit_s = self._question.request(scope), self._question.timeout_s
        give_up_at = loop.time() + (limit_s or _BUSY_PATIENCE_S)
        while True:
            try:
                return await self._submit(connection, request, limit_s or self._settings.run_deadline_s)
            except Busy as error:
                wait_s = error.retry_in_s
                if self._question.run is not None or loop.time() + wait_s > give_up_at:
                    raise
                self._view.step(f"waiting {math.ceil(wait_s)} s: {error}")
            self._submitted, self._run = False, new_id()  # that run has its answer
            await asyncio.sleep(wait_s)

    async def _submit(self, connection: Connection, request: Request, limit_s: float) -> Answer | Parked:
        """Raises Busy when the request was not taken."""
        await requester_on(connection, self._settings).submit(request, run=self._run)
        self._submitted = True
        ended = await follow(connection, self._settings, self._run, self._view, limit_s=limit_s)
        if isinstance(ended, Answer) and ended.retry_in_s is not None:
            raise Busy(ended.reason, retry_in_s=ended.retry_in_s)
        return ended

    async def _cancel_when_interrupted(self, requester: Requester) -> None:
        await self._interrupted.wait()
        self._view.step("cancelling the run")
        await requester.cancel(self._run, reason="interrupted at the command line")
        await asyncio.sleep(_CANCEL_WAIT_S)
        raise Interrupted(f"run {self._run} is to be cancelled, but has not ended: see `stretto runs show {self._run}`")
