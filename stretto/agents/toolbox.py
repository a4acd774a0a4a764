"""Toolbox: the tools of an agent. Each call is a step."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import JsonValue

from stretto.agents.effects import Effects
from stretto.agents.errors import AgentError, ToolFailed, ToolUnknown, ToolUnsure
from stretto.agents.tool_result import checked, fitted, seen, text_of
from stretto.bus.effect_failure import EffectFailed
from stretto.bus.step import digest_of
from stretto.shared.contracts.usage import Usage
from stretto.shared.memory.elements import visible
from stretto.shared.memory.errors import MemoryFailed
from stretto.shared.models.protocol import Purse, ToolCall, ToolOutcome, ToolSpec
from stretto.shared.money.errors import MoneyError
from stretto.shared.telemetry.counters import counted_call
from stretto.shared.telemetry.execute_tool import execute_tool, tell_result
from stretto.shared.tools.errors import ToolArgumentsWrong, ToolError, ToolTimedOut
from stretto.shared.tools.limits import LimitedTool, ToolLimits
from stretto.shared.tools.protocol import Tool
from stretto.shared.tools.schema import check_arguments, check_result

__all__ = ["ReplyCalls", "Toolbox"]

_TOLD_CHARS: Final = 2_000
_KEY: Final = "idempotency_key"
"""On an error: the key that the call had which may have had consequences all the same."""


class Toolbox:
    """The tools that an agent may use, by name.

    Args:
        purse: what the attempt may spend; it is asked before each call.
    """

    def __init__(self, tools: Sequence[Tool], effects: Effects, *, purse: Purse | None = None) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._effects = effects
        self._purse = purse
        self._open_keys: dict[str, list[str]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._tools)

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools as a model sees them."""
        return tuple(ToolSpec(one.name, visible(one.description), one.schema) for one in self._tools.values())

    async def call(
        self, name: str, arguments: Mapping[str, JsonValue] | None = None, *, call_id: str | None = None
    ) -> JsonValue:
        """Call a tool; return what it returns, without invisible characters and cut to its limit. Of an unkeyed tool whose call a person
        says has happened, that is None.

        Args:
            call_id: of the model that asks for it, where one does.

        Raises:
            ToolUnknown: there is none of this name.
            ToolArgumentsWrong: the arguments do not fit the tool's schema. Nothing is called, and nothing is recorded.
            ToolResultWrong: what it returns is not what it promises.
            ToolTimedOut: it did not end in time.
            ToolUnsure: it did not end in time, and whether it happened is not known; doing it again might do it twice.
            BudgetSpent: no call of a tool is left.
            QuestionExpired: nobody knew in time whether an unkeyed call had happened.
            Exception: whatever the tool raises; again, when the attempt is done again.
        """
        tool = self._tools.get(name)
        if tool is None:
            known = ", ".join(self._tools) or "none at all"
            raise ToolUnknown(f"there is no tool {name!r} here: there is {known}")
        given = dict(arguments or {})
        check_arguments(tool, given)
        # A keyed call that failed may have happened: when the same is asked for again, it is given the same key.
        same = f"{name} {digest_of(given)}"
        open_key = keys.pop() if (keys := self._open_keys.get(same)) else None

        async def call(key: str) -> JsonValue:
            return await self._call(tool, given, open_key or key, call_id)

        try:
            return await self._effects.perform("tool", name, given, call, _as_it_is, effects=tool.effects)
        except Exception as error:
            key = vars(error).get(_KEY)
            if isinstance(key, str):
                self._open_keys.setdefault(same, []).append(key)
            raise

    def for_reply(self) -> "ReplyCalls":
        """For the calls that a model asks for while it makes one reply."""
        return ReplyCalls(self)

    async def _call(self, tool: Tool, arguments: dict[str, JsonValue], key: str, call_id: str | None) -> JsonValue:
        limits, keep = (tool.limits, tool.keep) if isinstance(tool, LimitedTool) else (ToolLimits(), None)
        grant = await self._purse.for_tool(tool.name) if self._purse else None
        with counted_call(tool.name), execute_tool(tool, arguments, call_id=call_id) as span:
            try:
                result = await self._limited(tool, arguments, key, limits)
            except Exception as error:
                if tool.effects == "keyed":
                    vars(error)[_KEY] = key
                raise
            finally:
                if grant:
                    await grant.settle(Usage(tool_calls=1))
            result = seen(checked(result))
            check_result(tool, result)
            tell_result(span, result)
        return await fitted(result, limits, keep)

    async def _limited(self, tool: Tool, arguments: dict[str, JsonValue], key: str, limits: ToolLimits) -> JsonValue:
        within = asyncio.timeout(limits.time_limit_s)
        try:
            async with within:
                return await tool.call(arguments, key=key)
        except TimeoutError as error:
            if not within.expired():
                raise
            told = f"{tool.name} did not end within {limits.time_limit_s:g} s"
            if tool.effects == "unkeyed":
                raise ToolUnsure(f"{told}, and whether it happened is not known") from error
            raise ToolTimedOut(told) from error


class ReplyCalls:
    """The calls that a model asks for while it makes one reply: a tool's failure is told to it once; when the tool fails again after that,
    it is the task's error."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox
        self._failed: set[str] = set()

    async def outcomes_of(self, calls: Sequence[ToolCall]) -> tuple[ToolOutcome, ...]:
        """Make these calls side by side, as far as they are allowed: for each what comes of it, or why nothing does, in their order. All
        are over when this returns or raises.

        Raises:
            ToolFailed: a tool fails of which the model was told before that it had failed.
            BudgetSpent: no call of a tool is left.
            AgentError: as `Toolbox.call`, but for a tool that is unknown.
        """
        told = frozenset(self._failed)
        done = await asyncio.gather(*(self._outcome(one, told) for one in calls), return_exceptions=True)
        for one in done:
            if isinstance(one, BaseException):
                raise one
        return tuple(one for one in done if isinstance(one, ToolOutcome))

    async def _outcome(self, call: ToolCall, told: frozenset[str]) -> ToolOutcome:
        try:
            result = await self._toolbox.call(call.name, _given(call), call_id=call.id)
        except (ToolUnknown, ToolError, MemoryFailed) as error:
            return self._failure(call, told, str(error), error)
        except (AgentError, MoneyError):
            raise
        except Exception as error:  # noqa: BLE001 (whatever a tool raises is its outcome)
            # The text of an unknown error may hold what is not for a model: a path, a query, a key.
            return self._failure(call, told, f"{call.name} failed: {_name_of(error)}", error)
        return ToolOutcome(call=call.id, text=text_of(result))

    def _failure(self, call: ToolCall, told: frozenset[str], text: str, error: Exception) -> ToolOutcome:
        if call.name in told:
            raise ToolFailed(text) from error
        self._failed.add(call.name)
        return ToolOutcome(call=call.id, text=visible(text)[:_TOLD_CHARS], failed=True)  # it may be another server's


def _given(call: ToolCall) -> dict[str, JsonValue]:
    if call.arguments is None:
        raise ToolArgumentsWrong(f"the arguments of {call.name} are no JSON object: nothing was called")
    return call.arguments


def _name_of(error: Exception) -> str:
    return error.error if isinstance(error, EffectFailed) else type(error).__name__


def _as_it_is(output: JsonValue) -> JsonValue:
    return output
