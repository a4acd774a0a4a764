"""The errors of money.

MoneyError
├── BudgetSpent     not enough is left of a budget
└── PriceUnknown    a budget in money holds, and nobody knows what the model costs; the text has the line to add
"""

__all__ = ["BudgetSpent", "MoneyError", "PriceUnknown"]


class MoneyError(Exception):
    """Root of the errors of money."""


class BudgetSpent(MoneyError):
    """Not enough is left of a budget; the text says of which, how much it was and what was needed."""


class PriceUnknown(MoneyError):
    """A budget in money holds, and nobody knows what the model costs; the text has the line to add to the settings."""
