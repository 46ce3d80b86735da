"""Read rows by name, and what the ledger keeps as JSON back into the domain's answers."""

from typing import Any, TypeVar

from psycopg import sql
from psycopg.rows import dict_row
from pydantic import BaseModel, ValidationError

from participation.ledger.connection import Connection

Row = dict[str, Any]

Answer = TypeVar("Answer", bound=BaseModel)

PROBLEM_CHARACTERS = 300
"""A page says in one line what is wrong with an answer."""


def read_output(form: type[Answer], output: Any) -> tuple[Answer | None, str | None]:
    """Read a recorded output, or say in one line why it cannot be read; both None without one."""
    if output is None:
        return None, None
    try:
        return form.model_validate(output), None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or form.__name__
        return None, f"{where}: {first['msg']}"[:PROBLEM_CHARACTERS]


def named_rows(connection: Connection, query: str | sql.Composed, names: Row) -> list[Row]:
    """Return every row of a query, each by the names of its columns."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, names).fetchall()
