"""Short texts made of long ones: titles and previews."""

import re

TITLE_LENGTH = 50
PREVIEW_LENGTH = 100
# Marks of headings, quotes, lists, code, links and emphasis; 2*3 and snake_case have none.
_MARKDOWN = re.compile(
    r"^(?:[#>*+-]+\s+)+|`+|(?<!\w)[*_~]{1,3}(?=\S)|(?<=\S)[*_~]{1,3}(?!\w)"
    r"|!?\[([^\]]*)\]\([^)]*\)"
)


def title_of(text: str) -> str | None:
    """A title from a first message: its first line without Markdown, cut at a word."""
    lines = text.strip()[:2000].splitlines()
    line = " ".join(_MARKDOWN.sub(r"\1", lines[0]).split()) if lines else ""
    return _cut(line, TITLE_LENGTH) or None


def preview_of(text: str) -> str:
    """The start of a message on one line, for lists."""
    return _cut(" ".join(text[: 4 * PREVIEW_LENGTH].split()), PREVIEW_LENGTH)


def _cut(line: str, length: int) -> str:
    """At most `length` characters, at a word boundary where there is one in the second half."""
    if len(line) <= length:
        return line
    boundary = line.rfind(" ", length // 2, length)
    return line[: boundary if boundary > 0 else length - 1].rstrip() + "…"
