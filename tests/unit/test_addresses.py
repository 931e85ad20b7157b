"""Which spellings of an e-mail address are an owner, and that there is one spelling of each."""

import re
import string
from uuid import UUID

import idna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.addresses import canonical_email, is_visitor, visitor_owner
from app.errors import InputError, InvalidAddressError

ACCEPTED = {
    "user@example.com": "user@example.com",
    "User@EXAMPLE.Com": "user@example.com",
    "first.last@sub.example.co.uk": "first.last@sub.example.co.uk",
    "a.b.c+tag@example.com": "a.b.c+tag@example.com",
    "o'brien@example.com": "o'brien@example.com",
    "under_score-dash@example.com": "under_score-dash@example.com",
    "!#$&'+-/=?^_`|~@example.com": "!#$&'+-/=?^_`|~@example.com",
    "1@2.example": "1@2.example",
    "a@b.c": "a@b.c",
    "user@127.0.0.example": "user@127.0.0.example",
    "user@bücher.de": "user@xn--bcher-kva.de",
    "user@Bücher.DE": "user@xn--bcher-kva.de",
    "user@xn--bcher-kva.de": "user@xn--bcher-kva.de",
    "user@XN--BCHER-KVA.de": "user@xn--bcher-kva.de",
    "user@straße.de": "user@xn--strae-oqa.de",
    "user@ığdır.example": "user@xn--dr-wna5ec.example",
    "user@例え.テスト": "user@xn--r8jz45g.xn--zckzah",
    "user@مثال.إختبار": "user@xn--mgbh0fb.xn--kgbechtv",
    f"{'a' * 64}@example.com": f"{'a' * 64}@example.com",
    f"a@{'b' * 63}.com": f"a@{'b' * 63}.com",
    f"a@{'b.' * 124}dddd": f"a@{'b.' * 124}dddd",
}

REFUSED = {
    "nothing": "",
    "one character": "a",
    "no @": "user.example.com",
    "two @": "user@host@example.com",
    "@ alone": "@",
    "no local part": "@example.com",
    "no domain": "user@",
    "two octets": "@a",
    "@ between addresses": "a@b.cc@",
    "one label": "user@localhost",
    "trailing dot": "user@example.com.",
    "leading dot in the domain": "user@.example.com",
    "empty label": "user@example..com",
    "numeric top label": "user@example.123",
    "address": "user@127.0.0.1",
    "address literal": "user@[127.0.0.1]",
    "IPv6 literal": "user@[IPv6:::1]",
    "label of 64 octets": f"a@{'b' * 64}.com",
    "label starting with a hyphen": "user@-example.com",
    "label ending with a hyphen": "user@example-.com",
    "hyphens in the place of xn--": "user@ab--cd.com",
    "underscore in the domain": "user@ex_ample.com",
    "local part of 65 octets": f"{'a' * 65}@example.com",
    "255 octets": f"a@{'b.' * 124}ddddd",
    "255 octets in A-labels": f"a@ü{'b' * 55}.{'b.' * 92}ddddd",
    "very long": "a" * 1_000_000 + "@example.com",
    "two dots": "a..b@example.com",
    "leading dot": ".a@example.com",
    "last dot": "a.@example.com",
    "quoted local part": '"user"@example.com',
    "quoted @": '"a@b"@example.com',
    "comment": "user(comment)@example.com",
    "comment in the domain": "user@(comment)example.com",
    "display name": "User <user@example.com>",
    "angle brackets": "<user@example.com>",
    "mailto": "mailto:user@example.com",
    "list": "a@example.com,b@example.com",
    "semicolon": "a;b@example.com",
    "backslash": "a\\b@example.com",
    "star": "*@example.com",
    "per cent": "%@example.com",
    "route": "user%host@example.com",
    "hash tag": "{user}@example.com",
    "brackets": "[ab]@example.com",
    "opening brace": "{user@example.com",
    "closing brace": "user}@example.com",
    "hash tag in the domain": "user@{example}.com",
    "star in the domain": "user@*.com",
    "per cent in the domain": "user@exam%ple.com",
    "port": "user@example.com:25",
    "percent-encoded": "us%65r@example.com",
    "slash in the domain": "user@example.com/x",
    "query in the domain": "user@example.com?x",
    "colon": "a:b@example.com",
    "visitor": "anon:6b7f4a0e-4f2c-7d3a-8a55-0d6f0a8f4c11",
    "visitor with a domain": "anon:user@example.com",
    "leading space": " user@example.com",
    "trailing space": "user@example.com ",
    "inner space": "us er@example.com",
    "no-break space": "user\u00a0@example.com",
    "trailing line feed": "user@example.com\n",
    "CRLF and a header": "user@example.com\r\nBcc: eve@example.com",
    "line feed within": "us\ner@example.com",
    "carriage return": "user\r@example.com",
    "next line": "user\x85@example.com",
    "tab": "user\t@example.com",
    "NUL": "user\x00@example.com",
    "NUL at the end": "user@example.com\x00",
    "DEL": "user\x7f@example.com",
    "escape": "user\x1b[2J@example.com",
    "zero-width joiner": "us\u200der@example.com",
    "zero-width non-joiner": "us\u200cer@example.com",
    "word joiner": "user@exam\u2060ple.com",
    "Hangul filler": "us\u3164er@example.com",
    "Hangul filler in the domain": "user@\u3164.com",
    "variation selector": "user@example\ufe0f.com",
    "combining grapheme joiner": "user@e\u034fxample.com",
    "tag letters": "user\U000e0061@example.com",
    "zero-width space in the domain": "user@exam\u200bple.com",
    "right-to-left override": "user\u202e@example.com",
    "right-to-left isolate": "user\u2067@example.com",
    "first strong isolate in the domain": "user@\u2068example.com",
    "right-to-left mark in the domain": "user@example\u200f.com",
    "byte order mark": "\ufeffuser@example.com",
    "soft hyphen": "user@exam\u00adple.com",
    "line separator": "user\u2028@example.com",
    "lone surrogate": "user\ud800@example.com",
    "private use": "user@\ue000.com",
    "unassigned": "user@\u0378.com",
    "Kelvin sign": "\u212aate@example.com",
    "Kelvin sign in the domain": "user@\u212aelvin.com",
    "dotless i": "\u0131an@example.com",
    "dotted capital I": "\u0130an@example.com",
    "dotted capital I in the domain": "user@\u0130stanbul.com",
    "sharp s": "stra\u00dfe@example.com",
    "capital sharp s in the domain": "user@STRA\u1e9eE.de",
    "umlaut": "m\u00fcller@example.com",
    "Cyrillic a": "\u0430nn@example.com",
    "full-width @": "user\uff20example.com",
    "small @": "user\ufe6bexample.com",
    "full-width letters": "\uff55ser@example.com",
    "full-width domain": "user@\uff45xample.com",
    "full-width dot": "user@example\uff0ecom",
    "ideographic full stop": "user@example\u3002com",
    "decomposed umlaut": "user@bu\u0308cher.de",
    "ligature": "user@\ufb01sh.com",
    "capital umlaut": "user@B\u00dcCHER.de",
    "emoji domain": "user@\U0001f4a9.la",
    "mark at the start of a label": "user@\u0903a.com",
    "mixed digits": "user@\u0627\u0660\u06f0.com",
    "bad Punycode": "user@xn--999999999.com",
    "empty Punycode": "user@xn--.com",
    "Punycode of ASCII": "user@xn--abc-.com",
    "other Punycode of the same label": "user@xn---bbk.com",
    "Punycode of a capital": "user@xn--bcher-2pa.com",
    "Punycode of punctuation": "user@xn--bcher-kva8445foa.com",
    "Punycode of a zero-width joiner": "user@xn--11b2ezcw70k.com",
    "Punycode of an emoji": "user@xn--ls8h.la",
}

NO_TEXTS = [None, True, 7, 1.5, b"user@example.com", bytearray(b"user@example.com"), object()]
NO_TEXTS += [["user@example.com"], ("user@example.com",), {"email": "user@example.com"}]

plain = st.text(string.ascii_letters + string.digits, min_size=1, max_size=8)
odd = st.text("aZ9+-_.'üßıñ\u212aİк例\u0308\u200d @*", min_size=1, max_size=4)
punycode = st.text("abcxyz0189-", min_size=1, max_size=9).map("xn--{}".format)
addresses = st.builds(
    "{}@{}.{}".format,
    st.one_of(plain, odd),
    st.one_of(plain, odd, punycode, st.sampled_from(["bücher", "STRAßE", "XN--BCHER-KVA"])),
    st.sampled_from(["com", "COM", "de", "рф", "1", "c1"]),
)
anything = st.one_of(addresses, st.text(max_size=20))
examples = settings(deadline=None, max_examples=max(30, settings().max_examples))


def verdict(value, *, allow_unicode_local=False):
    """The canonical form, or None when it is refused; any other error fails the test."""
    try:
        return canonical_email(value, allow_unicode_local=allow_unicode_local)
    except InvalidAddressError:
        return None


def test_usable_address_has_one_canonical_form():
    assert {value: verdict(value) for value in ACCEPTED} == ACCEPTED


def test_unusable_address_is_refused():
    assert {name: verdict(value) for name, value in REFUSED.items()} == dict.fromkeys(REFUSED)


def test_what_is_no_text_is_refused():
    assert [value for value in NO_TEXTS if verdict(value) is not None] == []


def test_boundaries_are_where_they_should_be():
    assert len(f"a@{'b.' * 124}dddd") == 254
    assert len(REFUSED["255 octets"]) == 255
    assert len(REFUSED["255 octets in A-labels"].encode()) <= 254


def test_refusal_is_an_input_error_that_does_not_repeat_the_address():
    with pytest.raises(InputError) as caught:
        canonical_email("eve\x00@example.com")
    assert caught.value.code == "invalid_address"
    assert "eve" not in str(caught.value)


def test_local_part_in_other_letters_needs_permission():
    assert canonical_email("Müller@example.com", allow_unicode_local=True) == "müller@example.com"
    assert canonical_email("Ünal@example.com", allow_unicode_local=True) == "Ünal@example.com"
    assert canonical_email("ıan@example.com", allow_unicode_local=True) == "ıan@example.com"


OTHER_RULES = ["\u212aate", "a\u200db", "\u202eab", "ü ü", "ü*", "anon:ü", "ü..ü", '"ü"', "ü" * 33]
OTHER_RULES += ["\ufb01sh", "u\u0308", "\uff55ser"]


def test_permission_for_other_letters_lifts_no_other_rule():
    for local in OTHER_RULES:
        assert verdict(f"{local}@example.com", allow_unicode_local=True) is None, local


@examples
@given(anything)
def test_any_text_is_refused_or_has_a_form_that_is_an_owner_and_stays_as_it_is(value):
    address = verdict(value)
    if address is not None:
        assert canonical_email(address) == address
        assert fits_the_table(address)
        assert re.fullmatch(r"[!-~]+@[a-z0-9.-]+", address)
        assert not set(address) & set('*%{}[]()<>:;,"\\')
        assert not is_visitor(address)
        assert is_another_spelling(value, address)


def fits_the_table(owner):
    """The rule of the column users.email; a test with PostgreSQL holds it against the column."""
    return 3 <= len(owner.encode()) <= 254 and re.fullmatch(r"[^@A-Z\x00-\x20\x7f]+@[^@\s]+", owner)


def is_another_spelling(value, address):
    """The same but for the case of ASCII letters, and each label's two forms: no other owner's."""
    (local, domain), (owner, ascii_domain) = value.split("@"), address.split("@")
    labels = zip(ascii_lower(domain).split("."), ascii_domain.split("."), strict=True)
    same = all(label in {form, idna.decode(form)} for label, form in labels)
    return same and ascii_lower(local) == owner


def ascii_lower(text):
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)


@settings(examples, max_examples=30)
@given(anything)
def test_permission_for_other_letters_gives_a_form_that_stays_as_it_is(value):
    address = verdict(value, allow_unicode_local=True)
    if address is not None:
        assert canonical_email(address, allow_unicode_local=True) == address
        assert len(address.encode()) <= 254
        assert not set(address) & set(string.ascii_uppercase + '*%{}:"\\ \x00\r\n')


@examples
@given(addresses, st.randoms(use_true_random=False))
def test_case_of_ascii_letters_makes_no_difference(value, random):
    other = "".join(random.choice([c.upper(), c.lower()]) if c.isascii() else c for c in value)
    assert verdict(value) == verdict(other)


def test_visitor_has_a_name_that_no_address_can_have():
    owner = visitor_owner(UUID(int=7))
    assert owner == "anon:00000000-0000-0000-0000-000000000007"
    assert is_visitor(owner)
    assert verdict(owner) is None
    assert not is_visitor("anon@example.com")
