"""Statements that are asked often: written once, and prepared once on each connection.

What is prepared is parsed once and planned once for all values; what is left is to run it. Its
name is made of its text, so that one name never means two statements, whoever prepared it.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

OWNER = "app_user_email"
"""The value that every statement of an owner has beside its own."""

# Each row is looked up by index: hence also OFFSET 0 and ids as an array. Left to itself,
# PostgreSQL reads a conversation once for each level of its tree, or a table once for each
# message, when its statistics say that there are few.
BY_INDEX = {"enable_seqscan": "off"}

IN_ORDER = BY_INDEX | {"enable_bitmapscan": "off"}
"""For a page in the order of an index: misled, PostgreSQL would read and sort all that there is."""

LOOKED_UP = frozenset({"conversations", "messages", "runs"})
"""Tables with several indexes for a row. While they are small one seems as good as another."""

# One plan for all values is kept; but none that was made for tables that were small.
_KEPT = {"plan_cache_mode": "force_generic_plan"}
_PLANNED_ANEW = {"plan_cache_mode": "force_custom_plan"}

_WORD = re.compile(r"\w+")
_PARAMETER = re.compile(r"%\((\w+)\)s")


@dataclass(frozen=True, slots=True)
class _Command:
    """One command of a statement, as it is prepared and as it is run then."""

    name: str
    prepare: str
    execute: str

    @classmethod
    def of(cls, label: str, sql: str) -> "_Command":
        name = f"parley_{label}_{sha256(sql.encode()).hexdigest()[:12]}"
        parameters = list(dict.fromkeys(_PARAMETER.findall(sql)))
        text = _PARAMETER.sub(lambda it: f"${parameters.index(it[1]) + 1}", sql)
        values = ", ".join(f"%({parameter})s" for parameter in parameters)
        execute = f"EXECUTE {name} ({values})" if values else f"EXECUTE {name}"
        return cls(name, f"PREPARE {name} AS {text.strip()}", execute)


class Statement:
    """A statement in psycopg2's `%(name)s` form, whose parameters' types follow from its text.

    `before`: what must be over when it begins, like waiting for a lock; `settings` hold while it
    runs. `label` is a word that its name begins with. One that is not `is_hot` is never prepared.
    """

    def __init__(
        self,
        label: str,
        sql: str,
        *,
        before: Sequence[str] = (),
        settings: Mapping[str, str] = BY_INDEX,
        is_hot: bool = True,
    ) -> None:
        self.sql, self.is_hot = sql, is_hot
        self._commands = [_Command.of(label, text) for text in (*before, sql)]
        self.name = self._commands[-1].name
        self.names = frozenset(command.name for command in self._commands)
        self.tables = LOOKED_UP.intersection(_WORD.findall(" ".join([*before, sql])))
        self._plain = {
            is_owned: _joined(with_settings(settings, is_owned=is_owned), *before, sql)
            for is_owned in (True, False)
        }
        executes = [command.execute for command in self._commands]
        self._prepared = {
            (is_owned, planning is _KEPT): _joined(
                with_settings({**planning, **settings}, is_owned=is_owned), *executes
            )
            for is_owned in (True, False)
            for planning in (_KEPT, _PLANNED_ANEW)
        }

    def __repr__(self) -> str:
        return f"<Statement {self.name}>"

    def plain(self, *, is_owned: bool) -> str:
        """The text for a connection on which nothing is prepared."""
        return self._plain[is_owned]

    def prepared(self, known: Collection[str], *, is_owned: bool, is_kept: bool) -> str:
        """The text for a connection on which `known` is prepared; it prepares the rest first.

        `is_kept`: the plan of the first time serves the others, too.
        """
        text = self._prepared[is_owned, is_kept]
        missing = [each.prepare for each in self._commands if each.name not in known]
        return _joined(*missing, text) if missing else text


def with_settings(settings: Mapping[str, str], *, is_owned: bool) -> str:
    """Commands that set them, and the owner, for one transaction; empty without either.

    SET is neither planned nor answered, as `SELECT set_config` is.
    """
    sets = [f"SET LOCAL app.user_email = %({OWNER})s"] if is_owned else []
    sets += [f"SET LOCAL {name} = {value}" for name, value in settings.items()]
    return "; ".join(sets)


def _joined(*commands: str) -> str:
    return "; ".join(command.strip().rstrip(";") for command in commands if command)
