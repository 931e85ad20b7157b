"""What `cached` asks for, keeps and leaves alone, with a dictionary in Redis's place."""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import SimpleNamespace

import orjson
import pytest

from app import Prompt, cached
from app.errors import SetupError
from app.responders.tools import Tool, begin

CALLS = Counter()


class Kept(dict):
    """Results by name and owner; `marks` are those of its tags, None when it is away."""

    def __init__(self):
        super().__init__()
        self.marks = {}
        self.asked = []

    def find(self, name, owner, tags):
        self.asked.append((name, owner, list(tags)))
        marks = None if self.marks is None else {tag: self.marks.get(tag, "0") for tag in tags}
        value, then = self.get((name, owner), (None, None))
        return SimpleNamespace(value=value if then == marks else None, marks=marks)

    def keep(self, name, owner, value, *, marks, ttl):
        self[name, owner] = orjson.loads(value), marks
        return True

    def invalidate(self, *tags):
        self.marks |= {tag: self.marks.get(tag, "0") + "'" for tag in tags}
        return True


@cached(ttl=300)
def find(prompt, words, limit=5, *, filters=()):
    """Finds pages."""
    CALLS[words] += 1
    return {"words": words, "limit": limit, "for": prompt.user_email, "n": CALLS[words]}


@cached(ttl=300, shared=True)
def look_up(prompt, words):
    CALLS[words] += 1
    return [words, CALLS[words]]


@cached(ttl=300, tags=["handbook", "all"])
def tagged(prompt, words):
    CALLS[words] += 1
    return CALLS[words]


@cached(ttl=300, tags=lambda prompt, words: [f"words:{words}", f"user:{prompt.user_email}"])
def tagged_by_call(prompt, words):
    return words


@cached(ttl=300)
def give(prompt, what):
    CALLS["give"] += 1
    return GIVEN[what]


GIVEN = {
    "none": None, "empty": [], "no words": "", "nothing": {}, "zero": 0, "no": False,
    "pair": (1, 2), "deep": {"b": [1, {"a": None}]},
    "set": {1}, "time": datetime.now(UTC), "keys": {1: 2}, "large": 2**70,
    "broken": "\ud800", "bytes": b"x", "lines": (line for line in "ab"),
    "record": dataclass(type("Record", (), {}))(),
}  # fmt: skip


@pytest.fixture(autouse=True)
def uncounted():
    CALLS.clear()


@pytest.fixture
def kept():
    return Kept()


@pytest.fixture
def ann(kept):
    return Prompt(question="?", user_email="ann@example.com", dept="tea", results=kept)


def test_the_second_call_does_not_compute(ann):
    assert find(ann, "cups") == find(ann, "cups")
    assert CALLS == {"cups": 1}


def test_arguments_count_however_they_are_given(ann):
    find(ann, "cups")
    for again in (
        lambda: find(ann, words="cups"),
        lambda: find(ann, "cups", 5),
        lambda: find(ann, limit=5, words="cups", filters=[]),
    ):
        again()
    assert CALLS["cups"] == 1
    for other in (6, 5.0, "5", True, None, [5]):
        find(ann, "cups", other)
    assert CALLS["cups"] == 7
    find(ann, "cups", filters=[{"a": 1, "b": 2}])
    find(ann, "cups", filters=[{"b": 2, "a": 1}])
    assert CALLS["cups"] == 8


def test_nobody_is_shown_what_was_found_for_another(ann, kept):
    bob = replace(ann, user_email="bob@example.com")
    elsewhere = replace(ann, dept="coffee")
    assert find(ann, "cups")["for"] == "ann@example.com"
    assert find(bob, "cups")["for"] == "bob@example.com"
    find(elsewhere, "cups")
    assert CALLS["cups"] == 3
    assert {owner for _, owner, _ in kept.asked} == {"ann@example.com", "bob@example.com"}
    assert not any("ann" in name for name, *_ in kept.asked)


def test_what_is_shared_is_shown_to_everybody_and_only_when_that_is_said(ann, kept):
    assert look_up(ann, "cups") == look_up(replace(ann, user_email="bob@example.com"), "cups")
    assert {owner for _, owner, _ in kept.asked} == {None}


def test_functions_and_versions_do_not_meet(ann, kept):
    look_up(ann, "cups")
    cached(ttl=300, shared=True, version=2)(look_up.__wrapped__)(ann, "cups")
    cached(ttl=300, shared=True)(tagged.__wrapped__)(ann, "cups")
    assert CALLS["cups"] == 3
    first, second, third = (name.rpartition(":")[0] for name, *_ in kept.asked)
    assert (first, second) == (f"{__name__}.look_up:1", f"{__name__}.look_up:2")
    assert third == f"{__name__}.tagged:1"


def test_a_tag_that_is_invalidated_makes_it_compute_again(ann, kept):
    assert [tagged(ann, "cups"), tagged(ann, "cups")] == [1, 1]
    kept.invalidate("all")
    assert [tagged(ann, "cups"), tagged(ann, "cups")] == [2, 2]
    kept.invalidate("others")
    assert tagged(ann, "cups") == 2


def test_what_was_computed_while_a_tag_was_invalidated_is_not_used(ann, kept):
    find_marks = kept.find

    def find_and_change(*question):
        found = find_marks(*question)
        kept.invalidate("handbook")
        return found

    kept.find = find_and_change
    tagged(ann, "cups")
    kept.find = find_marks
    assert tagged(ann, "cups") == 2


def test_tags_may_depend_on_the_call(ann, kept):
    tagged_by_call(ann, "cups")
    assert kept.asked[0][2] == ["user:ann@example.com", "words:cups"]
    assert not kept.asked[1:]
    one = cached(ttl=1, tags="handbook")(look_up.__wrapped__)
    one(ann, "cups")
    assert kept.asked[1][2] == ["handbook"]


@pytest.mark.parametrize("what", ["none", "empty", "no words", "nothing"])
def test_nothing_found_is_not_kept(what, ann, kept):
    assert give(ann, what) == give(ann, what) == GIVEN[what]
    assert CALLS["give"] == 2
    assert not kept


@pytest.mark.parametrize("what", ["zero", "no", "pair", "deep"])
def test_a_result_is_the_same_whether_it_was_kept_or_not(what, ann, kept):
    first, second = give(ann, what), give(ann, what)
    assert first == second == orjson.loads(orjson.dumps(GIVEN[what]))
    assert type(first) is type(second)
    assert CALLS["give"] == 1
    assert give(replace(ann, results=None), what) == first


@pytest.mark.parametrize(
    "what", ["set", "time", "keys", "large", "broken", "bytes", "lines", "record"]
)
@pytest.mark.parametrize("is_there", [True, False])
def test_what_json_has_no_word_for_is_refused_with_or_without_redis(what, is_there, ann, kept):
    prompt = ann if is_there else replace(ann, results=None)
    with pytest.raises(TypeError):
        give(prompt, what)
    if what != "lines":
        with pytest.raises(TypeError):
            find(prompt, "cups", GIVEN[what])
    assert not kept


def test_what_is_raised_is_raised_and_not_kept(ann, kept):
    for _ in range(2):
        with pytest.raises(KeyError):
            give(ann, "unknown")
    assert (CALLS["give"], kept) == (2, {})


def test_without_a_redis_it_is_computed_each_time(ann, kept):
    kept.marks = None
    assert [find(ann, "cups")["n"], find(ann, "cups")["n"]] == [1, 2]
    assert not kept
    assert find(Prompt(question="?", user_email="a@example.com"), "cups")["n"] == 3


def test_a_function_stays_what_it_was_to_look_at():
    assert (find.__name__, find.__doc__) == ("find", "Finds pages.")


@cached(ttl=300)
def run(prompt, arguments):
    CALLS["run"] += 1
    return {"found": arguments["q"]}


def test_a_tool_may_be_cached(ann):
    tool = Tool("find", "Finds.", {"type": "object"}, run)
    outcomes = [begin(tool, ann, {"q": "cups"}).result(5).output for _ in range(2)]
    assert outcomes == [{"found": "cups"}] * 2
    assert CALLS["run"] == 1


def test_what_can_not_be_cached_is_refused_at_once():
    for ttl in (0, -1, 31 * 86_400, float("nan")):
        with pytest.raises(SetupError):
            cached(ttl=ttl)
    words = "cups"

    def capture(prompt):
        return words

    for twin in (capture, lambda prompt: "cups"):
        with pytest.raises(SetupError, match="captures"):
            cached(ttl=1)(twin)


def test_it_must_be_called_with_a_prompt():
    with pytest.raises(TypeError, match="Prompt"):
        find("cups")


def test_results_show_in_no_prompt(ann):
    assert "results" not in repr(ann)
    assert ann == replace(ann, results=None)
