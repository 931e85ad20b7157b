"""What the protocol promises, and what remains: every interleaving, as tests.cache_model goes on.

CACHE_MODEL=large explores the rest of the table, for some minutes.
"""

import os

import pytest

from tests.cache_model import explore
from tests.cache_states import Faults, Recipe

LETTERS = {
    "F": "forgotten",
    "D": "died",
    "U": "unanswered",
    "H": "unheard",
    "X": "expired",
    "R": "rolled_back",
}
IS_LARGE = os.environ.get("CACHE_MODEL") == "large"

# Faults, writers and readers; what they break, and nothing else. docs/cache-strategy.md quotes it.
TABLE = [
    ("", 2, 2, set()),
    ("F", 2, 2, set()),
    ("D", 2, 2, set()),
    ("H", 2, 2, set()),
    ("X", 2, 2, set()),
    ("U", 2, 1, set()),
    ("U", 1, 2, set()),
    ("FF", 2, 2, set()),
    ("FX", 2, 2, set()),
    ("DD", 2, 2, set()),
    ("FU", 1, 1, set()),
    ("FD", 2, 2, {"stays"}),
    ("DX", 2, 2, {"stays"}),
    ("DH", 2, 2, {"stays"}),
    ("FH", 2, 2, {"old", "stays"}),
    ("HH", 2, 2, {"old", "stays"}),
    ("HX", 2, 2, {"old", "stays"}),
    ("R", 2, 2, {"old", "stays"}),
]
LARGE = [
    ("U", 2, 2, set()),
    ("FU", 1, 2, set()),
    ("FU", 2, 1, set()),
    ("UX", 2, 1, set()),
    ("UU", 1, 2, set()),
    ("DU", 2, 1, {"stays"}),
    ("F", 3, 2, set()),
    ("D", 3, 2, set()),
    ("H", 3, 2, set()),
    ("X", 3, 2, set()),
    ("D", 2, 3, set()),
]

# Changes of the recipe that make it wrong, and where it shows: faults, writers and readers.
WRONG = {
    "a commit without a BEGIN": ({"begins": False}, ("D", 1, 2)),
    "a fill without its lease": ({"fills_with_lease": False}, ("", 2, 2)),
    "an END that stores into a hole": ({"ends_into_holes": True}, ("F", 2, 2)),
    "a splice from any version": ({"splices_from_any": True}, ("H", 2, 2)),
    "a reader that removes what it did not read": ({"drops_values_alone": False}, ("D", 2, 2)),
    "a note in a transaction of its own": ({"notes_with_the_write": False}, ("UU", 1, 1)),
    "a note only if UNLINK is not answered": ({"notes_when": "unlink"}, ("DU", 1, 2)),
    "an END that was not answered, and no word of it": ({"waits": False}, ("FU", 1, 2)),
}


def faults(letters):
    return Faults(**{LETTERS[letter]: letters.count(letter) for letter in letters})


def named(row):
    letters, writers, readers, _ = row
    return f"{letters or 'none'}-{writers}-{readers}"


def check(row):
    letters, writers, readers, broken = row
    found = explore(Recipe(), faults(letters), writers=writers, readers=readers)
    print(f"{letters or 'none'}: {found.states} states, {sorted(found.broken) or 'nothing'} broken")
    assert found.broken == broken


@pytest.mark.parametrize("row", TABLE, ids=named)
def test_faults_break_what_the_table_says_and_nothing_else(row):
    check(row)


@pytest.mark.skipif(not IS_LARGE, reason="CACHE_MODEL=large")
@pytest.mark.parametrize("row", LARGE, ids=named)
def test_so_it_is_with_more_of_them(row):
    check(row)


def test_no_single_fault_but_a_rollback_of_redis_breaks_anything():
    single = {letters: broken for letters, *_, broken in TABLE if len(letters) == 1}
    assert {letters for letters, broken in single.items() if broken} == {"R"}
    assert single.keys() == LETTERS.keys()


@pytest.mark.parametrize("name", WRONG)
def test_the_model_finds_out_what_is_wrong(name):
    changes, (letters, writers, readers) = WRONG[name]
    right, wrong = (
        explore(recipe, faults(letters), writers=writers, readers=readers)
        for recipe in (Recipe(), Recipe(**changes))
    )
    assert wrong.broken - right.broken
