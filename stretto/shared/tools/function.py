"""FunctionTool: a typed Python function as a tool."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Generic, ParamSpec, TypeVar, cast, get_type_hints, overload

from docstring_parser import DocstringStyle, parse
from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError

from stretto.bus.envelope import describe
from stretto.shared.tools.errors import ToolArgumentsWrong, ToolResultWrong
from stretto.shared.tools.names import check_tool_name
from stretto.shared.tools.protocol import Consequences

__all__ = ["FunctionTool", "tool"]

P = ParamSpec("P")
R = TypeVar("R")

_KEY: Final = "key"
_CONFIG: Final = ConfigDict(extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


class FunctionTool(Generic[P, R]):
    """What `@tool` makes of a function. It can still be called as the function that it is.

    Args:
        function: with a type for each parameter; async, or sync, which is run in a thread.
        effects: see `Tool.effects`.
        name: the function's own by default.

    Attributes:
        description: the text of its docstring; what stands under `Args:` describes the arguments.

    Raises:
        TypeError: a parameter has no type, or one that JSON cannot say.
        ValueError: there cannot be a tool of that name.
    """

    def __init__(self, function: Callable[P, R], *, effects: Consequences = "none", name: str | None = None) -> None:
        self.function = function
        self.effects: Consequences = effects
        self.name = check_tool_name(name or str(getattr(function, "__name__", "")))
        documented = parse(inspect.getdoc(function) or "", style=DocstringStyle.GOOGLE)
        self.description: str = documented.description or ""
        if not self.description:
            raise TypeError(f"the tool {self.name} has no docstring: models choose tools by what they read there")
        hints = get_type_hints(function, include_extras=True)
        parameters = inspect.signature(function).parameters
        self._takes_key = _KEY in parameters
        self._keys = {one: f"value_{at}" for at, one in enumerate(parameters) if one != _KEY}
        described = {one.arg_name: one.description or "" for one in documented.params}
        try:
            fields: dict[str, Any] = {
                self._keys[one]: (hints[one], _field(parameters[one], described.get(one, ""))) for one in self._keys
            }
            self._arguments: type[BaseModel] = create_model(self.name, __config__=_CONFIG, **fields)
            self._result: TypeAdapter[Any] = TypeAdapter(hints.get("return", Any))
            self.schema: Mapping[str, JsonValue] = _untitled(self._arguments.model_json_schema())
            self.output_schema: Mapping[str, JsonValue] | None = (
                _untitled(self._result.json_schema(mode="serialization"))
                if hints.get("return", Any) is not Any
                else None
            )
        except KeyError as error:
            raise TypeError(f"the tool {self.name}: its parameter {error} has no type") from error
        except PydanticUserError as error:
            raise TypeError(f"the tool {self.name} has a type that JSON cannot say: {error.message}") from error

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def named(self, name: str) -> "FunctionTool[P, R]":
        """The same under another name."""
        return FunctionTool(self.function, effects=self.effects, name=name)

    async def call(self, arguments: Mapping[str, JsonValue], *, key: str) -> JsonValue:
        """As `Tool.call`.

        Raises:
            ToolArgumentsWrong, ToolResultWrong: the types of the signature do not hold.
            Exception: whatever the function raises.
        """
        try:
            given = self._arguments.model_validate(dict(arguments))
        except ValidationError as error:
            raise ToolArgumentsWrong(
                f"the arguments do not fit {self.name}, which was not called: {describe(error)}"
            ) from error
        values: dict[str, Any] = {name: getattr(given, field) for name, field in self._keys.items()}
        if self._takes_key:
            values[_KEY] = key
        function = cast("Callable[..., Any]", self.function)
        if inspect.iscoroutinefunction(function):
            result = await cast("Awaitable[Any]", function(**values))
        else:
            result = await asyncio.to_thread(function, **values)
        try:
            return cast("JsonValue", self._result.dump_python(self._result.validate_python(result), mode="json"))
        except ValidationError as error:
            raise ToolResultWrong(f"{self.name} returned what it did not promise: {describe(error)}") from error
        except PydanticSerializationError as error:
            raise ToolResultWrong(f"{self.name} returned what JSON cannot say") from error


@overload
def tool(function: Callable[P, R], /) -> FunctionTool[P, R]: ...


@overload
def tool(
    *, effects: Consequences = "none", name: str | None = None
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...


def tool(
    function: Callable[..., Any] | None = None, /, *, effects: Consequences = "none", name: str | None = None
) -> Any:
    """Make a tool of a typed function: its schema comes from the signature, its description from the docstring.

        @tool
        async def exchange_rate(currency: str) -> float:
            \"\"\"What one euro is worth.

            Args:
                currency: as in ISO 4217.
            \"\"\"

        @tool(effects="keyed")
        def refund(order: str, cents: Annotated[int, Field(gt=0)], key: str) -> str: ...

    Without `effects` it says that it only reads, or may be done again without harm. A function with side effects must say so: `keyed` if it
    does nothing twice under one idempotency key, which it is given as its parameter `key`; else `unkeyed`.

    Raises:
        TypeError, ValueError: see `FunctionTool`.
    """
    if function is not None:
        return FunctionTool(function)

    def made(function: Callable[..., Any]) -> FunctionTool[..., Any]:
        return FunctionTool(function, effects=effects, name=name)

    return made


def _field(parameter: inspect.Parameter, description: str) -> FieldInfo:
    if parameter.kind not in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
        raise TypeError(f"the parameter {parameter.name} cannot be given by its name")
    # Fields have names of our own: a parameter may be called as a method of pydantic's models is.
    given: dict[str, Any] = {"alias": parameter.name}
    if parameter.default is not parameter.empty:
        given["default"] = parameter.default
    if description:
        given["description"] = description
    return cast("FieldInfo", Field(**given))


def _untitled(schema: dict[str, Any]) -> dict[str, JsonValue]:
    """Without the titles that pydantic derives from names: they say nothing, and models pay for each word."""

    def bare(node: Any, *, names: bool = False) -> Any:
        if isinstance(node, dict):
            items = cast("dict[str, Any]", node).items()
            return {
                key: bare(value, names=not names and key in {"properties", "$defs"})
                for key, value in items
                if names or key != "title" or not isinstance(value, str)
            }
        return [bare(one) for one in node] if isinstance(node, list) else node  # pyright: ignore[reportUnknownVariableType]  # JSON

    return cast("dict[str, JsonValue]", bare(schema))
