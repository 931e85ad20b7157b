"""Everything that can go wrong, as the services see it. This file knows nothing of HTTP.

ParleyError
├── InputError                     what was sent can't be taken
│   ├── MalformedError             not JSON, NUL, a lone surrogate, too deep
│   ├── InvalidFieldsError         well-formed, but fields are wrong: names each
│   ├── InvalidAddressError        not a usable e-mail address
│   ├── MediaTypeError             not a media type that is understood
│   └── TooLargeError              over a size limit
├── IdentityError                  no token, or none that holds
├── RecordNotFoundError            absent or somebody else's: one answer for both
├── ConflictError                  true of the request, but not of the stored state
│   ├── AlreadySentError           a message with this client id is stored already
│   ├── AnswerWaitsError           an answer to the same question is being written
│   ├── KeyReusedError             the key of a request came before with another request
│   ├── StaleError                 a writer saw another revision; says the current one
│   │   └── PreconditionError      … and said so in a condition of the request
│   └── PayloadMismatchError       the same client id came with another payload
├── LimitError                     too much, too often; says when to come back
│   └── QuotaError                 … today
├── ModelError                     the responder's model did not answer
│   └── ModelTimeoutError          … in time
├── UnavailableError               PostgreSQL is away or overloaded; says when to come back
└── SetupError                     the program is set up or called wrongly
    ├── SettingsError              settings are missing or invalid: names each
    ├── UnsafeRoleError            the database role could walk around row-level security
    ├── MissingOwnerError          a user's rows were asked for without saying whose
    ├── UnguardedError             a change was told too late for who keeps copies
    └── UnknownWordError           a repository was given a word that it does not know
"""

import math
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from .clock import now


class ParleyError(Exception):
    """Root of the tree. `code` is stable; the message is a sentence that a person can read."""

    code = "internal_error"
    message = "Something went wrong."

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.message)


class InputError(ParleyError):
    code = "invalid_input"
    message = "The request can't be processed."


class MalformedError(InputError):
    code = "malformed"
    message = "The request body is not valid JSON."


@dataclass(frozen=True)
class FieldFault:
    """One wrong field: a JSON pointer (RFC 6901) into the request, and what is wrong with it."""

    pointer: str
    detail: str


class InvalidFieldsError(InputError):
    code = "invalid_fields"
    message = "Some fields are not valid."

    def __init__(self, faults: Sequence[FieldFault], message: str | None = None) -> None:
        super().__init__(message or f"{self.message[:-1]}: " + _sentence(faults))
        self.faults = tuple(faults)


class InvalidAddressError(InputError):
    code = "invalid_address"
    message = "This is not a usable e-mail address."


class MediaTypeError(InputError):
    code = "unsupported_media_type"
    message = "The request body must be sent as application/json."


class TooLargeError(InputError):
    code = "too_large"
    message = "The request is too large."


class IdentityError(ParleyError):
    code = "unauthorized"
    message = "A valid bearer token is required."


class RecordNotFoundError(ParleyError):
    code = "not_found"
    message = "There is nothing here."


class ConflictError(ParleyError):
    code = "conflict"
    message = "The request conflicts with what is stored."


class AlreadySentError(ConflictError):
    code = "already_sent"
    message = "A message with this client_message_id is stored already."


class AnswerWaitsError(ConflictError):
    code = "answer_is_being_written"
    message = "An answer to this question is being written."


class KeyReusedError(ConflictError):
    code = "idempotency_key_reused"
    message = "This Idempotency-Key was used before with another request."


class StaleError(ConflictError):
    code = "stale_revision"

    def __init__(self, *, number: int, tag: str) -> None:
        """`number`, `tag`: the current revision."""
        super().__init__(f"The conversation has changed since then: its revision is {number} now.")
        self.number = number
        self.tag = tag


class PreconditionError(StaleError):
    code = "precondition_failed"


class PayloadMismatchError(ConflictError):
    code = "payload_mismatch"
    message = "This client_message_id was used before with different content."


class LimitError(ParleyError):
    code = "too_many_requests"
    message = "Too many requests."

    def __init__(self, message: str | None = None, *, reset_at: datetime | None = None) -> None:
        """`reset_at`: from when on trying again makes sense; by default in a second."""
        super().__init__(message)
        self.reset_at = reset_at or now() + timedelta(seconds=1)

    @property
    def retry_after(self) -> int:
        """Whole seconds until then, at least one."""
        return max(1, math.ceil((self.reset_at - now()).total_seconds()))


class QuotaError(LimitError):
    code = "quota_used_up"
    message = "Your quota for today is used up."


class ModelError(ParleyError):
    """`error_class` is one stable word for ledgers and clients, never a provider's text."""

    code = "model_failed"
    message = "The model could not answer. Your message is saved; please try again."

    def __init__(self, message: str | None = None, *, error_class: str = "upstream") -> None:
        super().__init__(message)
        self.error_class = error_class


class ModelTimeoutError(ModelError):
    code = "model_timeout"
    message = "The model took too long to answer. Your message is saved; please try again."

    def __init__(self, message: str | None = None, *, error_class: str = "timeout") -> None:
        super().__init__(message, error_class=error_class)


class UnavailableError(ParleyError):
    code = "unavailable"
    message = "The conversation store is not available at the moment."
    retry_after = 2


class SetupError(ParleyError):
    code = "setup"


class SettingsError(SetupError):
    """`faults` maps the name of each environment variable to what is wrong with it."""

    def __init__(self, faults: Mapping[str, Sequence[str]]) -> None:
        lines = [f"  {name}: {' '.join(faults[name])}" for name in sorted(faults)]
        super().__init__("Parley can't start with these settings:\n" + "\n".join(lines))
        self.faults = faults


class UnsafeRoleError(SetupError):
    """The message names the role and what makes it unsafe."""


class MissingOwnerError(SetupError):
    message = "Users' rows are worked with in the name of their owner only."


class UnguardedError(SetupError):
    message = "A change outside of a transaction is to be told before it is made."


class UnknownWordError(SetupError):
    """The message names the word and the words that are known."""


def places(error: BaseException) -> list[str]:
    """Where an error came from, for a log; never its text, which may hold what somebody said."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]


def _sentence(faults: Sequence[FieldFault]) -> str:
    first = "; ".join(f"{fault.pointer or '/'} {fault.detail}" for fault in faults[:5])
    return first if len(faults) <= 5 else f"{first}; and {len(faults) - 5} more."
