"""The one spelling of an owner: canonical e-mail addresses, and the names of anonymous visitors.

Every address that enters (token, claim, import, command line) passes `canonical_email`.
What is not right is refused, never repaired: a repaired address could be somebody else's.
"""

import re
import string
import unicodedata
from uuid import UUID

import idna

from .errors import InvalidAddressError

_MAX_OCTETS = 254
_MAX_LOCAL_OCTETS = 64
_VISITOR = "anon:"
_REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp"})
# Marks without a look of their own, which those categories do not cover.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)
# Not str.lower(): it makes the Kelvin sign a plain k. Not casefold(): it makes ß two letters.
_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
# RFC 5322 atext without * % { }, which are patterns or hash tags elsewhere.
_ATEXT = r"a-z0-9!#$&'+\-/=?^_`|~"
_ASCII_LOCAL = re.compile(rf"[{_ATEXT}]+(?:\.[{_ATEXT}]+)*")
_UNICODE_LOCAL = re.compile(rf"[{_ATEXT}\u0080-\U0010ffff]+(?:\.[{_ATEXT}\u0080-\U0010ffff]+)*")


def canonical_email(value: object, *, allow_unicode_local: bool = False) -> str:
    """The address in lower-case ASCII, its domain as A-labels (IDNA 2008); idempotent.

    Takes 3–254 octets of `local@domain.tld`: a dot-atom of at most 64 octets (RFC 5322, without
    `* % { }`), and at least two labels of which the last is not a number. With
    `allow_unicode_local` the local part may hold other letters (RFC 6531); those keep their case.
    Raises InvalidAddressError for anything else, whatever its type.
    """
    if not isinstance(value, str) or not _is_clean(value):
        raise InvalidAddressError
    local, _, domain = value.translate(_ASCII_LOWER).partition("@")
    pattern = _UNICODE_LOCAL if allow_unicode_local else _ASCII_LOCAL
    if not pattern.fullmatch(local) or len(local.encode()) > _MAX_LOCAL_OCTETS:
        raise InvalidAddressError
    address = f"{local}@{_ascii_domain(domain)}"
    if len(address.encode()) > _MAX_OCTETS:
        raise InvalidAddressError
    return address


def visitor_owner(visitor_id: UUID) -> str:
    """The owner name of an anonymous visitor, `anon:<uuid>`: never an e-mail address."""
    return f"{_VISITOR}{visitor_id}"


def is_visitor(owner: str) -> bool:
    """Whether an owner name is an anonymous visitor's."""
    return owner.startswith(_VISITOR)


def _is_clean(value: str) -> bool:
    """Short enough, one @, nothing invisible, and only one way to write it in Unicode."""
    return (
        3 <= len(value) <= _MAX_OCTETS
        and value.count("@") == 1
        and _is_visible(value)
        and len(value.encode()) <= _MAX_OCTETS
        and unicodedata.is_normalized("NFKC", value)  # and so NFC too
    )


def _is_visible(text: str) -> bool:
    is_printed = _REFUSED_CATEGORIES.isdisjoint(map(unicodedata.category, text))
    return is_printed and not _UNSEEN.search(text)


def _ascii_domain(domain: str) -> str:
    """The domain as A-labels; InvalidAddressError unless it is one that a mail can go to."""
    try:
        ascii_domain = idna.encode(domain, strict=True).decode()
        unicode_domain = idna.decode(ascii_domain, strict=True)
        # Older idna takes Punycode that isn't the one that its own text encodes to.
        is_stable = idna.encode(unicode_domain, strict=True).decode() == ascii_domain
    except UnicodeError as error:
        raise InvalidAddressError from error
    _, dot, top = ascii_domain.rpartition(".")
    if not (is_stable and dot and top and not top.isdigit() and _is_visible(unicode_domain)):
        raise InvalidAddressError
    return ascii_domain
