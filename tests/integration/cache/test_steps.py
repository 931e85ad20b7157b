"""Each step of the protocol on each state of a key: the scripts in Redis do what the table says."""

import re
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import product
from operator import methodcaller
from typing import NamedTuple

import pytest

from app.cache.fence import value_in
from tests import cache_keys as table
from tests.cache_keys import ABSENT, Marked, Value

from .fenced import Hand, Talk

TOKENS, NONCES, VERSIONS = ("w1", "w2"), ("r1", "r2"), (1, 2)
_STATE = re.compile(rb"S (\d+) (\S+)(.*)")


class Step(NamedTuple):
    name: str
    on_table: Callable
    on_redis: Callable


def steps():
    """Every step that there is, on the table's key and on Redis."""
    for token in TOKENS:
        yield Step(f"BEGIN {token}", partial(_begun, token=token), methodcaller("begin", token))
        for version, is_told in product(VERSIONS, (False, True)):
            yield _ending(token, version, version if is_told else 0)
    for nonce in NONCES:
        was_read = partial(_read, nonce=nonce)
        yield Step(f"READ {nonce}", was_read, methodcaller("read", nonce))
        yield Step(f"LEASE {nonce}", was_read, methodcaller("read", nonce, is_likely=False))
        for version in VERSIONS:
            filled = partial(table.filled, nonce=nonce, version=version)
            do = methodcaller("fill", nonce, version)
            yield Step(f"FILL {nonce} {version}", filled, do)
    for version in VERSIONS:
        yield _ending("-", version, 0)
    yield Step("DROP", lambda key: ABSENT if isinstance(key, Value) else key, methodcaller("drop"))


def _begun(key, token):
    return table.begun(key, token)[0]


def _read(key, nonce):
    return table.was_read(key, nonce)[0]


def _ending(token, version, told):
    value = Value(told, told) if told else None
    ended = partial(table.ended, token=token, version=version, value=value)
    return Step(f"END {token} {version} {told}", ended, methodcaller("end", token, version, told))


STEPS = list(steps())


def stored(raw, talk):
    """The key as the table writes it."""
    content = raw.get(talk.key)
    if content is None:
        return ABSENT
    if content.startswith(b"V"):
        frame = value_in(content)
        assert frame.items() == talk.snapshot(frame.stamp.version).items
        return Value(frame.stamp.version, frame.stamp.version)
    floor, lease, marks = _STATE.fullmatch(content).groups()
    tokens = sorted(mark.split(b":")[0].decode() for mark in marks.split())
    return Marked(int(floor), None if lease == b"-" else lease.decode(), tuple(tokens))


def in_any_order(key):
    return key._replace(marks=tuple(sorted(key.marks))) if isinstance(key, Marked) else key


def put(raw, talk, key):
    """Makes the key what the table says."""
    raw.delete(talk.key)
    if isinstance(key, Value):
        raw.set(talk.key, b"V %d\n" % key.version + talk.value(key.version))
    elif key is not ABSENT:
        deadline = round(time.time() * 1000) + 30_000
        marks = [f"{token}:{deadline}" for token in key.marks]
        raw.set(talk.key, " ".join(["S", str(key.floor), str(key.lease or "-"), *marks]))


def reachable():
    """All states that the steps lead to."""
    seen, waiting = {ABSENT}, deque([ABSENT])
    while waiting:
        key = waiting.popleft()
        for _, step, _ in STEPS:
            following = in_any_order(step(key))
            if following not in seen:
                seen.add(following)
                waiting.append(following)
    return seen


def test_every_step_does_to_every_state_what_the_table_says(client, raw):
    talk = Talk()
    hand, states = Hand(client, talk), reachable()
    for key in states:
        for name, step, do in STEPS:
            put(raw, talk, key)
            do(hand)
            assert stored(raw, talk) == in_any_order(step(key)), (name, key)
    print(f"{len(states)} states, {len(STEPS)} steps")
    assert len(states) >= 20


@pytest.mark.parametrize(
    "garbage", [b"S", b"S x -", b"S 1", b"V", b"V x\n", b"?", b"\x80\x04.", b"S -1 -"]
)
def test_a_state_that_makes_no_sense_is_as_good_as_none(garbage, client, raw):
    talk = Talk()
    hand = Hand(client, talk)
    for name, step, do in STEPS:
        raw.set(talk.key, garbage)
        if name.startswith("READ") and not garbage.startswith(b"S"):
            assert do(hand) == garbage  # which no reader can decode
        else:
            do(hand)
            assert stored(raw, talk) == in_any_order(step(ABSENT)), name


def test_a_mark_that_has_run_out_is_none(client, raw):
    talk = Talk()
    hand = Hand(client, talk)
    raw.set(talk.key, b"S 1 - w1:1")
    assert hand.read("r1") is True
    assert stored(raw, talk) == Marked(1, "r1", ())
    raw.set(talk.key, b"S 1 - w1:1")
    assert hand.end("w1", 2, 2) == "fenced"
    assert stored(raw, talk) == Marked(2, None, ())


def test_a_huge_state_is_read_in_bounded_time(client, raw):
    talk = Talk()
    marks = b" ".join(b"%032d:%d" % (number, 2**60) for number in range(200_000))
    raw.set(talk.key, b"S 0 - " + marks)
    started = time.monotonic()
    assert Hand(client, talk).read("r1") is False
    assert time.monotonic() - started < 0.5
