"""Words compiled for one owner, and what they are in SQL."""

from sqlalchemy.dialects import postgresql

from app.repositories.query import Scope
from app.repositories.words import shape_of

OWNER = "ann@example.com"


def scope_of(model, owner_column="user_email"):
    return Scope(model, shape_of(model, owner_column), OWNER)


def sql_of(clause):
    compiled = clause.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    return " ".join(str(compiled).replace("%%", "%").split())
