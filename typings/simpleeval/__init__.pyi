import ast
from collections.abc import Callable, Mapping
from typing import Any

class InvalidExpression(Exception): ...

class SimpleEval:
    nodes: dict[type[ast.AST], Callable[..., Any]]

    def __init__(
        self,
        operators: Mapping[type[ast.AST], Callable[..., Any]] | None = ...,
        functions: Mapping[str, Callable[..., Any]] | None = ...,
        names: Mapping[str, object] | None = ...,
    ) -> None: ...
    def eval(self, expr: str, previously_parsed: ast.AST | None = ...) -> object: ...
