from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who asks, as a verified token says. `user_email` is canonical: the key of all ownership.

    `issuer` and `subject` are what the address is pinned to. `sid` is the browser session, kept
    in the ledger only; `dept` goes to the responder.
    """

    user_email: str
    issuer: str
    subject: str | None = None
    is_anonymous: bool = False
    name: str | None = None
    dept: str | None = None
    sid: str | None = None
