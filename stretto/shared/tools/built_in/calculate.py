"""Calculate: arithmetic, with limits to how much work an expression can ask for."""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from pydantic import Field

from stretto.shared.tools.errors import ToolArgumentsWrong
from stretto.shared.tools.function import FunctionTool

__all__ = ["calculate", "make_calculate"]

_MAX_CHARS: Final = 500
_MAX_DEPTH: Final = 50
_MAX_BITS: Final = 4_096
"""Of whole numbers: some 1,200 digits."""

Number = int | float


def make_calculate(name: str = "calculate") -> FunctionTool[[str], str]:
    """The tool, under this name."""
    return FunctionTool(calculate, name=name)


def calculate(expression: Annotated[str, Field(min_length=1, max_length=_MAX_CHARS)]) -> str:
    """Compute an arithmetic expression, such as (1299 - 200) * 1.19 or sqrt(2) ** 3. Whole numbers are exact.

    Args:
        expression: numbers, + - * / // % **, parentheses, pi, e, and abs, round, floor, ceil, min, max, sqrt, exp, log, log2, log10, sin,
            cos, tan.

    Raises:
        ToolArgumentsWrong: it is no such expression, has no value, or is too much work.
    """
    from simpleeval import InvalidExpression, SimpleEval

    evaluator = SimpleEval(operators=dict(_OPERATORS), functions=dict(_FUNCTIONS), names={"pi": math.pi, "e": math.e})
    evaluator.nodes = {kind: how for kind, how in evaluator.nodes.items() if kind in _NODES}
    try:
        parsed = ast.parse(expression.strip().replace("^", "**"), mode="eval").body
        if _depth(parsed) > _MAX_DEPTH:
            raise ToolArgumentsWrong(f"expression: it is nested deeper than {_MAX_DEPTH} levels")
        value: object = evaluator.eval("", previously_parsed=parsed)
    except ZeroDivisionError as error:
        raise ToolArgumentsWrong("expression: it divides by zero") from error
    except (SyntaxError, InvalidExpression, RecursionError, MemoryError, TypeError) as error:
        raise ToolArgumentsWrong(
            "expression: it is no arithmetic: use numbers, + - * / // % **, parentheses and the functions that the description names"
        ) from error
    except (ValueError, OverflowError) as error:
        raise ToolArgumentsWrong(f"expression: it has no value: {error}") from error
    return _shown(_number(value))


def _shown(value: Number) -> str:
    """15 significant digits of a fraction: as many as are right."""
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        raise ToolArgumentsWrong("expression: its value is too large")
    return format(value, ".15g")


def _number(value: object) -> Number:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ToolArgumentsWrong("expression: it has parts that are no numbers")
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        raise ToolArgumentsWrong(f"expression: it has a number of more than {_MAX_BITS} bits")
    return value


def _checked(function: Callable[..., Any]) -> Callable[..., Number]:
    """Numbers in, a number of bounded size out: so no step can take long."""

    def checked(*given: object) -> Number:
        return _number(function(*(_number(one) for one in given)))

    return checked


def _power(base: Number, exponent: Number) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1:
        if exponent * base.bit_length() > 2 * _MAX_BITS:
            raise ToolArgumentsWrong(f"expression: it has a power of more than {_MAX_BITS} bits")
        if exponent < -_MAX_BITS:
            return 0.0
    return base**exponent


def _quotient(value: Number, by: Number) -> Number:
    return value / by


def _whole(value: Number, by: Number) -> Number:
    return value // by


def _rest(value: Number, by: Number) -> Number:
    return value % by


def _round(value: Number, digits: Number = 0) -> Number:
    if not isinstance(digits, int) or abs(digits) > 300:
        raise ToolArgumentsWrong("expression: round takes up to 300 digits")
    return round(value, digits) if digits else round(value)


def _depth(node: ast.AST) -> int:
    """Of a tree that may be deep: without recursion."""
    level, depth = [node], 0
    while level:
        level = [child for one in level for child in ast.iter_child_nodes(one)]
        depth += 1
    return depth


_NODES: Final = {ast.Expr, ast.Name, ast.UnaryOp, ast.BinOp, ast.Call, ast.Constant}

_OPERATORS: Final[Mapping[type[ast.AST], Callable[..., Number]]] = {
    ast.Add: _checked(operator.add),
    ast.Sub: _checked(operator.sub),
    ast.Mult: _checked(operator.mul),
    ast.Div: _checked(_quotient),
    ast.FloorDiv: _checked(_whole),
    ast.Mod: _checked(_rest),
    ast.Pow: _checked(_power),
    ast.USub: _checked(operator.neg),
    ast.UAdd: _checked(operator.pos),
}

_FUNCTIONS: Final[Mapping[str, Callable[..., Number]]] = {
    "abs": _checked(abs),
    "round": _checked(_round),
    "floor": _checked(math.floor),
    "ceil": _checked(math.ceil),
    "min": _checked(min),
    "max": _checked(max),
    "sqrt": _checked(math.sqrt),
    "exp": _checked(math.exp),
    "log": _checked(math.log),
    "log2": _checked(math.log2),
    "log10": _checked(math.log10),
    "sin": _checked(math.sin),
    "cos": _checked(math.cos),
    "tan": _checked(math.tan),
}
