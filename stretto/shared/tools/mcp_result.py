"""mcp_result: what a server of the Model Context Protocol returned, as the result of a tool."""

from typing import TYPE_CHECKING, Final

from pydantic import JsonValue, TypeAdapter, ValidationError

from stretto.shared.tools.errors import ToolResultWrong, ToolUnavailable

if TYPE_CHECKING:
    import mcp

__all__ = ["result_of"]

_MAX_ERROR_CHARS: Final = 1_000
_JSON: Final[TypeAdapter[JsonValue]] = TypeAdapter(JsonValue)


def result_of(tool: str, returned: "mcp.types.CallToolResult") -> JsonValue:
    """Structured content where there is some, else the text; what is neither text nor a link is named and left out.

    Raises:
        ToolUnavailable: the tool says that it failed; the text is its own.
        ToolResultWrong: that is no JSON.
    """
    if returned.is_error:
        raise ToolUnavailable(f"{tool} failed: {_text(returned)[:_MAX_ERROR_CHARS] or 'it does not say why'}")
    if returned.structured_content is None:
        return _text(returned)
    try:
        return _JSON.validate_python(returned.structured_content)
    except ValidationError as error:
        raise ToolResultWrong(f"{tool} returned structured content that is no JSON") from error


def _text(returned: "mcp.types.CallToolResult") -> str:
    return "\n".join(map(_block, returned.content))


def _block(block: "mcp.types.ContentBlock") -> str:
    match block.type:
        case "text":
            return block.text
        case "resource_link":
            return f"[{block.name}: {block.uri}]"
        case "resource":
            text = getattr(block.resource, "text", None)
            return text if isinstance(text, str) else f"[{block.resource.uri}: left out, for it is no text]"
        case "image" | "audio":
            return f"[{block.mime_type}: left out, for it is no text]"
