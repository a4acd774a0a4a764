"""Chooser: how a new run gets its plan: from a playbook, or from the planner agent."""

from collections.abc import Iterable, Mapping

from stretto.bus.agent_card import AgentCard
from stretto.shared.contracts.budget import Budget, tightest
from stretto.shared.contracts.decision import Event, PlanMade, PlanningAsked, RoleOffer, RunRejected
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.retry import RetryPolicy
from stretto.supervisor.errors import UnknownPlaybook
from stretto.supervisor.playbooks import Playbooks
from stretto.supervisor.reasons import too_many_tasks
from stretto.supervisor.roles import BUILT_IN_ROLES, PLANNER, offer_of
from stretto.supervisor.router import Router

__all__ = ["Chooser"]

_SERVICES = frozenset({"supervisor", "memory", PLANNER})


class Chooser:
    """Decides how a run is planned. What it says is committed, since it cannot be derived from the log.

    `retries` are the deployment's policies by role, `budget` is what it allows each run: they are committed with the plan.
    """

    def __init__(
        self,
        *,
        playbooks: Playbooks,
        router: Router,
        retries: Mapping[str, RetryPolicy] | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._playbooks = playbooks
        self._router = router
        self._retries = dict(retries or {})
        self._budget = budget

    async def choose(self, request: Request, alive: Iterable[AgentCard]) -> tuple[Event, ...]:
        """The events that give the run its plan, or reject it."""
        if request.playbook == PLANNER:
            fallback = self._playbooks.default.plan("the planner's proposals could not be used")
            budget = tightest((request.budget, self._budget))
            return (PlanningAsked(roles=_offers(alive), fallback=fallback, retries=self._retries, budget=budget),)
        try:
            route = await self._router.route(request)
        except UnknownPlaybook as error:
            return (RunRejected(reason=str(error)),)
        plan = route.playbook.plan(route.reason)
        budget = tightest((request.budget, route.playbook.budget, self._budget))
        if problem := too_many_tasks(plan, budget):
            return (RunRejected(reason=problem),)
        return (PlanMade(plan=plan, retries=self._retries, budget=budget),)


def _offers(alive: Iterable[AgentCard]) -> tuple[RoleOffer, ...]:
    """What a planner may use: the roles that somebody serves, each once; the built-in ones in the words known for them."""
    built_in = {offer.role: offer for offer in BUILT_IN_ROLES}
    offers = {card.role: built_in.get(card.role) or offer_of(card) for card in alive if card.role not in _SERVICES}
    return tuple(offers.values())
