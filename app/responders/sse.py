"""The payloads of a streamed answer, out of bytes that may be cut anywhere.

Server-sent events (WHATWG HTML, 9.2) as Chat Completions providers send them: each `data:` line is
a payload of its own, with or without an empty line after it.
"""

import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain

from ..errors import ModelError

DONE = "[DONE]"
LONGEST = 4_000_000

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BLANKS = b" \t\r\n"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_CUT_MARKS = (b"", b"\xef", b"\xef\xbb")


def payloads(pieces: Iterable[bytes], *, limit: int = LONGEST) -> Iterator[str]:
    """Each payload, the final `[DONE]` included; comments and other fields are left out.

    A body that is one JSON document (a proxy ignored `stream`) is a payload followed by `[DONE]`.
    Bytes that aren't UTF-8 become U+FFFD. Raises ModelError at more than `limit` bytes.
    """
    rest = iter(pieces)
    start = _start(rest)
    if start.startswith(b"{"):
        yield _joined(chain((start,), rest), limit).decode("utf-8", "replace")
        yield DONE
    else:
        for line in _lines(chain((start,), rest), limit):
            if payload := _payload(line):
                yield payload


def _start(pieces: Iterator[bytes]) -> bytes:
    """The first bytes that say something: enough to tell a JSON document from events."""
    start = b""
    for piece in pieces:
        start = (start + piece).lstrip(_BLANKS)
        if start not in _CUT_MARKS:
            start = start.removeprefix(_BYTE_ORDER_MARK).lstrip(_BLANKS)
        if start not in _CUT_MARKS:
            break
    return start


def _lines(pieces: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """Lines without their ends. A CRLF cut in two gives an empty line, which means nothing here."""
    line = bytearray()
    for piece in pieces:
        *ended, tail = _LINE_END.split(piece)
        for end in ended:
            _extend(line, end, limit)
            yield bytes(line)
            line.clear()
        _extend(line, tail, limit)
    if _is_whole(_payload(bytes(line))):
        yield bytes(line)


def _payload(line: bytes) -> str:
    return line[5:].strip().decode("utf-8", "replace") if line.startswith(b"data:") else ""


def _is_whole(last: str) -> bool:
    """Whether a last line without an end is only that, and not the beginning of one."""
    try:
        json.loads(last)
    except (ValueError, RecursionError):
        return last == DONE
    return True


def _joined(pieces: Iterable[bytes], limit: int) -> bytes:
    body = bytearray()
    for piece in pieces:
        _extend(body, piece, limit)
    return bytes(body)


def _extend(buffer: bytearray, piece: bytes, limit: int) -> None:
    buffer += piece
    if len(buffer) > limit:
        raise ModelError(error_class="upstream")
