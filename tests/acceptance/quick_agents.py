"""The specialists' roles with work that takes no time, for tests of many runs in real processes."""

from stretto.agents import Agent, TaskContext
from stretto.agents.researcher import ResearchTask
from stretto.agents.reviewer import ReviewTask
from stretto.agents.writer import WriteTask
from stretto.shared.contracts.draft import Claim, Draft
from stretto.shared.contracts.findings import Finding, Findings
from stretto.shared.contracts.review import Review

__all__ = ["QuickResearcher", "QuickReviewer", "QuickWriter"]


class QuickResearcher(Agent[ResearchTask, Findings]):
    """Finds the request itself."""

    role = "researcher"
    description = "finds the request itself"
    slots = 16

    async def handle(self, task: ResearchTask, ctx: TaskContext) -> Findings:
        found = Finding(id=f"{ctx.key.task}-1", quote=task.request, source="request", confidence=1.0)
        return Findings(question=task.request, findings=(found,), searched=1, confidence=1.0)


class QuickWriter(Agent[WriteTask, Draft]):
    """Says what was found."""

    role = "writer"
    description = "says what was found"
    slots = 16

    async def handle(self, task: WriteTask, ctx: TaskContext) -> Draft:
        ids = tuple(finding.id for found in task.findings for finding in found.findings)
        return Draft(answered=True, claims=(Claim(text=task.request, findings=ids),), confidence=1.0)


class QuickReviewer(Agent[ReviewTask, Review]):
    """Approves."""

    role = "reviewer"
    description = "approves"
    slots = 16

    async def handle(self, task: ReviewTask, ctx: TaskContext) -> Review:
        return Review(verdict="approve", reasons="quick", confidence=1.0)
