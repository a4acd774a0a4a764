"""The errors of money.

MoneyError
├── BudgetSpent        not enough is left of a budget
├── PriceUnknown       a budget in money holds, and nobody knows what the model costs; the text has the line to add
└── LedgerUnreadable   what is written of a budget's use cannot be read: a person must look at it
"""

from stretto.shared.contracts.usage import Usage, UsageByModel

__all__ = ["BudgetSpent", "LedgerUnreadable", "MoneyError", "PriceUnknown"]


class MoneyError(Exception):
    """Root of the errors of money.

    Attributes:
        usage: what the call took before it met the edge; it has to be paid for all the same.
        by_model: the part of it that each model of a chain took.
    """

    usage: Usage = Usage()
    by_model: UsageByModel = UsageByModel()


class BudgetSpent(MoneyError):
    """Not enough is left of a budget; the text says of which, how much it was and what was needed.

    Attributes:
        account: whose it is: `run`, or the tenant's `day` or `month`.
        unit: what is scarce: `nanos` (billionths of a US dollar), `tokens`, `model_calls` or `tool_calls`; what follows counts in it.
        limit, spent: of the budget; needed: at least so much by the call that was not made.
    """

    # On the class too: an error that a journal kept is made again without `__init__`.
    account: str = ""
    unit: str = ""
    limit: int = 0
    spent: int = 0
    needed: int = 0

    def __init__(
        self, message: str = "", *, account: str = "", unit: str = "", limit: int = 0, spent: int = 0, needed: int = 0
    ) -> None:
        super().__init__(message)
        self.account = account
        self.unit = unit
        self.limit = limit
        self.spent = spent
        self.needed = needed


class PriceUnknown(MoneyError):
    """A budget in money holds, and nobody knows what the model costs; the text has the line to add to the settings."""


class LedgerUnreadable(MoneyError):
    """What is written of a budget's use is no message of ours: nothing may be spent from it until a person has looked at it."""
