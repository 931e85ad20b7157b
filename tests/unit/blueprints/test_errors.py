import inspect
import re

from app import errors
from app.blueprints.errors import STATUS, status_of
from app.errors import InvalidFieldsError, ModelTimeoutError, ParleyError

TREE = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, ParleyError)
]


def test_every_error_has_a_status_of_its_own_or_its_branch():
    for kind in TREE:
        branch = [base for base in kind.__mro__ if base in STATUS]
        assert branch, kind
        assert branch[0] is not ParleyError or kind is ParleyError, kind


def test_every_error_stands_in_the_drawn_tree():
    for kind in TREE:
        assert re.search(rf"\b{kind.__name__}\s", errors.__doc__), kind


def test_the_nearest_class_decides():
    assert status_of(ModelTimeoutError()) == 504
    assert status_of(InvalidFieldsError([])) == 422


def test_codes_are_stable_words():
    codes = {kind.code for kind in TREE}
    assert all(code.isidentifier() and code.islower() for code in codes)
