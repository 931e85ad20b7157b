"""Column types that several tables share."""

from datetime import datetime
from typing import Annotated, Any

from sqlalchemy import Text, text
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.orm import mapped_column

# Three digits: what is stored is what the API shows, and what a cursor compares.
Moment = TIMESTAMP(timezone=True, precision=3)

At = Annotated[datetime, mapped_column(Moment)]
CreatedAt = Annotated[datetime, mapped_column(Moment, server_default=text("now()"))]
Words = Annotated[str, mapped_column(Text)]
JsonObject = Annotated[
    dict[str, Any], mapped_column(JSONB, server_default=text("'{}'::jsonb"), default=dict)
]
JsonList = Annotated[list[dict[str, Any]], mapped_column(JSONB)]


def one_of(column: str, *values: str) -> str:
    """The SQL of a CHECK that `column` holds one of `values`."""
    return f"{column} IN ({', '.join(repr(value) for value in values)})"
