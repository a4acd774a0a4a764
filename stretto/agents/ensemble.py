"""EnsembleModel: several models are asked the same side by side, and one reply is taken."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic

from pydantic import BaseModel, Field, JsonValue

from stretto.agents.effects import Effects
from stretto.agents.errors import ToolFailed, ToolRoundsSpent
from stretto.agents.panel import Panel
from stretto.agents.step_model import ROUNDS, StepModel
from stretto.shared.contracts.step import ModelOutcome
from stretto.shared.contracts.usage import Usage
from stretto.shared.models.all_failed import all_failed, reason_of
from stretto.shared.models.errors import ModelError, ScriptMismatch
from stretto.shared.models.protocol import Document, Hop, Output, Reply

__all__ = ["EnsembleModel", "Pick"]

_HOW_SURE = "confidence"


class Pick(BaseModel):
    """What the judge replies."""

    number: Annotated[int, Field(ge=1, description="of the best candidate")]
    reason: str


@dataclass(frozen=True, slots=True)
class _Candidate(Generic[Output]):
    """A reply, and what it says as canonical JSON. How sure its model says it is, is no part of that."""

    reply: Reply[Output]
    text: str

    @property
    def confidence(self) -> float:
        return -1.0 if self.reply.confidence is None else self.reply.confidence


class EnsembleModel:
    """The model of an attempt whose plan asks several. Each one's reply is a step of its own, and so is the choice.

    A model that fails does not fail the others: the choice is among what there is, and says who is missing. A budget that is spent ends
    the call.
    """

    def __init__(self, panel: Panel, effects: Effects, *, members: Sequence[StepModel], judge: StepModel) -> None:
        self._choose = panel.choose
        self._prompts = panel.prompts
        self._effects = effects
        self._members = tuple(members)
        self._judge = judge

    @property
    def name(self) -> str:
        """Those of all."""
        return ", ".join(one.name for one in self._members)

    async def generate(
        self,
        output_type: type[Output],
        *,
        instructions: str,
        question: str = "",
        documents: Sequence[Document | str] = (),
        tools: bool | Collection[str] = False,
        rounds: int = ROUNDS,
    ) -> Reply[Output]:
        """As `StepModel.generate`, of all at once. The reply's usage is that of all.

        Raises:
            ToolRoundsSpent, ToolFailed: no model has a reply, and the tools of one were the reason.
            ModelError: no model has a reply: see `all_failed`.
        """
        asked = await asyncio.gather(
            *(
                one.generate(
                    output_type,
                    instructions=instructions,
                    question=question,
                    documents=documents,
                    tools=tools,
                    rounds=rounds,
                )
                for one in self._members
            ),
            return_exceptions=True,
        )
        candidates: list[_Candidate[Output]] = []
        failed: list[tuple[str, ModelError]] = []
        hops: list[Hop] = []
        tool_errors: list[ToolFailed | ToolRoundsSpent] = []
        for member, given in zip(self._members, asked, strict=True):
            match given:
                case Reply():
                    candidates.append(_Candidate(given, _said(given.output)))
                case ScriptMismatch():
                    raise given
                case ModelError():
                    failed.append((member.name, given))
                    hops.append(Hop(model=member.name, reason=reason_of(given), detail=str(given)))
                case ToolFailed() | ToolRoundsSpent():
                    tool_errors.append(given)
                    hops.append(Hop(model=member.name, reason=type(given).__name__, detail=str(given)))
                case _:
                    raise given
        usage = sum([*(one.reply.usage for one in candidates), *(error.usage for _, error in failed)], start=Usage())
        if not candidates and tool_errors:
            raise tool_errors[0]
        if not candidates:
            raise all_failed([error for _, error in failed], [name for name, _ in failed], usage)
        if self._choose == "vote" or len({one.text for one in candidates}) == 1:
            best, why = _most_frequent(candidates)
        else:
            best, why = await self._judged(candidates, hops, instructions, question, documents)
        return await self._record(output_type, best, why, hops, usage, [one.text for one in candidates])

    async def _judged(
        self,
        candidates: Sequence[_Candidate[Output]],
        hops: list[Hop],
        instructions: str,
        question: str,
        documents: Sequence[Document | str],
    ) -> tuple[_Candidate[Output], str]:
        """What the judge finds best; the surest, then the first, where it has no opinion."""
        shown = [Document(id=f"candidate-{number}", text=one.text) for number, one in enumerate(candidates, start=1)]
        try:
            picked = await self._judge.generate(
                Pick,
                instructions=self._prompts.render("agents/best_of", instructions=instructions, candidates=len(shown)),
                question=question,
                documents=[*documents, *shown],
            )
        except ScriptMismatch:
            raise
        except ModelError as error:
            hops.append(Hop(model=self._judge.name, reason=reason_of(error), detail=str(error)))
        else:
            if picked.output.number <= len(candidates):
                return candidates[picked.output.number - 1], f"picked by {picked.model}: {picked.output.reason}"
            hops.append(Hop(model=picked.model, reason="BadReply", detail="it picked a candidate that there is not"))
        return max(candidates, key=lambda one: one.confidence), "the surest: there was no judge"

    async def _record(
        self,
        output_type: type[Output],
        best: _Candidate[Output],
        why: str,
        hops: Sequence[Hop],
        usage: Usage,
        texts: list[str],
    ) -> Reply[Output]:
        """The choice as a step of its own: what the models took is on record with theirs."""
        value: JsonValue = {"choose": self._choose, "candidates": list(texts), "why": why}

        async def call(_: str) -> JsonValue:
            return ModelOutcome(
                output=best.reply.output.model_dump(mode="json"),
                model=best.reply.model,
                confidence=best.reply.confidence,
                request_id=best.reply.request_id,
                hops=tuple(hops),
                text=why,
            ).model_dump(mode="json")

        def parse(output: JsonValue) -> Reply[Output]:
            outcome = ModelOutcome.model_validate(output)
            return Reply(
                output=output_type.model_validate(outcome.output),
                model=outcome.model,
                usage=usage,
                confidence=outcome.confidence,
                request_id=outcome.request_id,
                hops=outcome.hops,
            )

        return await self._effects.perform("model", f"{self._choose} {output_type.__name__}", value, call, parse)


def _said(output: BaseModel) -> str:
    return json.dumps(output.model_dump(mode="json", exclude={_HOW_SURE}), sort_keys=True, ensure_ascii=False)


def _most_frequent(candidates: Sequence[_Candidate[Output]]) -> tuple[_Candidate[Output], str]:
    """Of those that most models say, the surest, then the first."""
    groups: dict[str, list[_Candidate[Output]]] = defaultdict(list)
    for one in candidates:
        groups[one.text].append(one)
    bests = [(len(group), max(group, key=lambda one: one.confidence)) for group in groups.values()]
    votes, best = max(bests, key=lambda one: (one[0], one[1].confidence))
    return best, f"said by {votes} of {len(candidates)}"
