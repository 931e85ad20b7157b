"""The calls that a model asks for, put together from the pieces that a stream brings."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..errors import ModelError

MOST_CALLS = 8
LONGEST_ARGUMENTS = 20_000
_LONGEST_ROUND = 1_000_000


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A piece of a call; the text of its arguments goes on from piece to piece."""

    index: int | None
    call_id: str
    name: str
    arguments: str


@dataclass(slots=True)
class RequestedCall:
    """A call as the model wrote it. `is_too_long`: its arguments go on, and are not kept."""

    call_id: str
    name: str
    is_too_long: bool = False
    _arguments: list[str] = field(default_factory=list)
    _size: int = 0

    @property
    def arguments(self) -> str:
        return "".join(self._arguments)

    def take(self, piece: CallPiece) -> None:
        self.call_id = self.call_id or piece.call_id
        self.name = self.name or piece.name
        self._size += len(piece.arguments)
        if self._size > LONGEST_ARGUMENTS:
            self.is_too_long = True
        elif piece.arguments:
            self._arguments.append(piece.arguments)


class RequestedCalls:
    """The calls of one round: the first eight, for the rest are left out."""

    def __init__(self) -> None:
        self._calls: list[RequestedCall] = []
        self._by_index: dict[int, RequestedCall] = {}
        self._newest: RequestedCall | None = None
        self._size = 0

    def __iter__(self) -> Iterator[RequestedCall]:
        return iter(self._calls)

    def __len__(self) -> int:
        return len(self._calls)

    def take(self, piece: CallPiece) -> None:
        """Adds a piece. ModelError: there is no end to them."""
        self._size += 1 + len(piece.arguments)
        if self._size > _LONGEST_ROUND:
            raise ModelError(error_class="upstream")
        current = self._newest if piece.index is None else self._by_index.get(piece.index)
        if current is None or _begins_another(piece, current):
            current = self._begun(piece)
        current.take(piece)
        self._newest = current

    def _begun(self, piece: CallPiece) -> RequestedCall:
        call = RequestedCall(piece.call_id, piece.name)
        if len(self._calls) < MOST_CALLS:
            self._calls.append(call)
            if piece.index is not None:
                self._by_index[piece.index] = call
        return call


def _begins_another(piece: CallPiece, current: RequestedCall) -> bool:
    """Some servers number no calls, or all of them 0; some give each piece an id of its own."""
    if not piece.name:
        return False
    if piece.call_id:
        return piece.call_id != current.call_id
    return piece.index is None and bool(current.name)
