"""plan: the one plan that the offline model knows, from the roles that there are."""

from collections.abc import Sequence

from stretto.shared.contracts.plan import PlannedTask, Revision
from stretto.shared.contracts.proposal import PlanProposal
from stretto.shared.models.errors import CannotDo
from stretto.shared.models.protocol import Document

__all__ = ["propose_plan"]

_RESEARCH = ("research", "background")


def propose_plan(documents: Sequence[Document]) -> PlanProposal:
    """Two researchers side by side, then a writer, then a reviewer, as far as these roles are offered; escalation after the reviewer.

    Raises:
        CannotDo: no researcher is offered: choosing among unknown roles takes a language model.
    """
    roles = {one.id for one in documents if one.kind == "role"}
    if "researcher" not in roles:
        raise CannotDo(
            "offline plans with the role researcher only, which nobody serves: use a playbook or a language model"
        )
    if "writer" not in roles:
        task = PlannedTask(id="research", role="researcher", inputs={"request": "request"})
        return PlanProposal(reason="Nobody writes, so the findings are the answer.", tasks=(task,), answer="research")
    tasks = [
        PlannedTask(id="research", role="researcher", inputs={"request": "request"}),
        PlannedTask(
            id="background",
            role="researcher",
            params={"angle": "conditions and exceptions"},
            inputs={"request": "request"},
        ),
        PlannedTask(id="draft", role="writer", inputs={"request": "request", "findings": _RESEARCH}),
    ]
    if "reviewer" in roles:
        then = "escalate" if "escalation" in roles else None
        tasks.append(
            PlannedTask(
                id="review",
                role="reviewer",
                inputs={"request": "request", "draft": "draft", "findings": _RESEARCH},
                revision=Revision(task="draft", at_most=2, then=then),
            )
        )
        if then:
            tasks.append(PlannedTask(id=then, role="escalation", inputs={"request": "request", "findings": _RESEARCH}))
    return PlanProposal(
        reason="Research, write, review: the offline model knows no other way.", tasks=tuple(tasks), answer="draft"
    )
