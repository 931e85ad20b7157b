"""Short texts made of long ones: titles and previews."""

import re

TITLE_LENGTH = 50
PREVIEW_LENGTH = 100
PREVIEW_READ = 4 * PREVIEW_LENGTH  # characters of a message that its preview is made of
# Marks of headings, quotes, lists, code, links and emphasis; 2*3 and snake_case have none.
_MARKDOWN = re.compile(
    r"^(?:[#>*+-]+\s+)+|`+|(?<!\w)[*_~]{1,3}(?=\S)|(?<=\S)[*_~]{1,3}(?!\w)"
    r"|!?\[([^\]]*)\]\([^)]*\)"
)
# Without one of these there is nothing for it to find.
_MARKS = frozenset("#>*+-`_~[")
_FENCE = re.compile(r"\s*(```|~~~)[^`]*$")


def title_of(text: str) -> str | None:
    """A title from a first message: the first line that says something, without Markdown.

    It is cut at a word.
    """
    lines = (line for line in text.strip()[:2000].splitlines() if not _FENCE.match(line))
    plain = (" ".join(_without_markdown(line).split()) for line in lines)
    return _cut(next(filter(None, plain), ""), TITLE_LENGTH) or None


def _without_markdown(line: str) -> str:
    return line if _MARKS.isdisjoint(line) else _MARKDOWN.sub(r"\1", line)


def preview_of(text: str) -> str:
    """The start of a message on one line, for lists."""
    return _cut(" ".join(text[:PREVIEW_READ].split()), PREVIEW_LENGTH)


def _cut(line: str, length: int) -> str:
    """At most `length` characters, at a word boundary where there is one in the second half."""
    if len(line) <= length:
        return line
    boundary = line.rfind(" ", length // 2, length)
    return line[: boundary if boundary > 0 else length - 1].rstrip() + "…"
