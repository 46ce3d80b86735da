"""Where the traces of submissions go on: each keeps the W3C ``traceparent`` of the request it came by."""

from participation.ledger.attempt import Attempt
from participation.ledger.connection import Connection

MOST = 101
"""One more than is followed, so that whoever asks sees that there are more."""

BEGINNING = "SELECT c.metadata ->> 'traceparent', count(*)::int"
END = f" AND c.metadata ? 'traceparent' GROUP BY 1 ORDER BY 1 LIMIT {MOST}"


def of_chunk(connection: Connection, chunk_id: int) -> list[tuple[str, int]]:
    """List the traces that a chunk's contributions came by, and how many by each."""
    return connection.execute(
        f"{BEGINNING} FROM claim k JOIN contribution c USING (contribution_id)"
        f" WHERE k.chunk_id = %s{END}",
        (chunk_id,),
    ).fetchall()


def of_run(connection: Connection, attempt: Attempt) -> list[tuple[str, int]]:
    """List those of the contributions that a run still holds."""
    return connection.execute(
        f"{BEGINNING} FROM work_chunk w JOIN claim k USING (chunk_id)"
        " JOIN contribution c USING (contribution_id)"
        f" WHERE w.dag_id = %s AND w.run_id = %s{END}",
        (attempt.dag_id, attempt.run_id),
    ).fetchall()


def of_question(connection: Connection, question_id: int) -> list[tuple[str, int]]:
    """List the trace of the contribution that a question is about, if it has one."""
    return connection.execute(
        f"{BEGINNING} FROM review_question q JOIN contribution c USING (contribution_id)"
        f" WHERE q.question_id = %s{END}",
        (question_id,),
    ).fetchall()
