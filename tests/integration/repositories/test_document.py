"""What docs/repositories.md says is so."""

import re
from pathlib import Path

from sqlalchemy import ARRAY, Integer, Text

from app.repositories.base import Repository
from app.repositories.words import kind_of, shape_of

from .conftest import everything

DOCUMENT = (Path(__file__).parents[3] / "docs" / "repositories.md").read_text()


def test_the_examples_work_in_the_order_they_are_told(database, owner):
    blocks = re.findall(r"^```python\n(.*?)^```$", DOCUMENT, re.M | re.S)
    assert len(blocks) == 5
    exec("".join(blocks), {"database": database, "owner": owner})


def test_the_relations_told_are_those_that_there_are(session):
    rows = re.findall(r"^\| ([A-Z]\w+(?:, [A-Z]\w+)*) \| (\w.*) \|$", DOCUMENT, re.M)
    told = {
        model: set(re.sub(r" \(.*?\)", "", relations).split(", "))
        for models, relations in rows
        for model in models.split(", ")
    }
    shapes = [shape_of(each.model, each.owner_column) for each in everything(session).values()]
    assert told == {shape.model.__name__: set(shape.relations) for shape in shapes}


def test_every_word_is_told():
    told = set(re.findall(r"\w+", DOCUMENT))
    verbs = {name for name in vars(Repository) if name.islower() and not name.startswith("_")}
    columns = (Text(), Integer(), ARRAY(Text()))
    words = {word for type_ in columns for word in kind_of(type_).filters | kind_of(type_).changes}
    assert verbs - {"session", "owner_column"} | words <= told
