"""page: a text in Markdown as something that can be published without harm."""

import html
import re
from typing import TYPE_CHECKING, Final, Literal

from stretto.shared.tools.errors import ToolArgumentsWrong

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

__all__ = ["Format", "make_page"]

Format = Literal["markdown", "html"]

_PAGE: Final = """<!doctype html>
<html>
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
</head>
<body>
<h1>{title}</h1>
{body}</body>
</html>
"""


def make_page(title: str, text: str, form: Format) -> str:
    """The whole page. It loads and runs nothing: HTML in the text is shown as text, images are links, and no link is a script.

    Raises:
        ToolArgumentsWrong: the text has HTML in it, which a page in Markdown would hand on.
    """
    if form == "html":
        return _PAGE.format(title=html.escape(title), body=_markdown().render(text))
    heading = re.sub(r"([\\<&\[])", r"\\\1", " ".join(title.split()))
    page = f"# {heading}\n\n{text.rstrip()}\n"
    if _has_html(page):
        raise ToolArgumentsWrong("write plain Markdown: HTML in it is not published")
    return page


def _markdown() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def _has_html(text: str) -> bool:
    from markdown_it import MarkdownIt

    blocks = MarkdownIt("commonmark").parse(text)
    return any(
        one.type in {"html_block", "html_inline"} for block in blocks for one in (block, *(block.children or ()))
    )
