"""Calls of a connected language model in the ledger: kept answers, budget, breakers, the record of calls.

Every process that asks shares these rows, so that a budget is one budget and a provider that is down is
down for all of them. Days are those of Paris and moments the database's.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal

import psycopg

from include.contributions.sources.boundary import cleaned
from include.errors import (
    BudgetSpentError,
    CircuitOpenError,
    LedgerUnavailableError,
    ProbeUnderwayError,
)
from include.ports import AnswerKey, Reply
from participation.ledger.connection import Connection
from participation.ledger.locks import hold

OPEN_FOR_REFUSED_S = 600.0
"""A refused key or a used-up quota takes a person; whether one has mended it is asked this often."""

TODAY = "(now() AT TIME ZONE 'Europe/Paris')::date"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a connection allows; a budget of None has no end.

    Attributes:
        conn_id: Whose budget and breaker.
        daily_eur: At most so much a day.
        daily_tokens: The same in tokens.
        failures: In a row, after which nobody is asked.
        open_s: For how long, before one caller may try again.
    """

    conn_id: str
    daily_eur: Decimal | None = None
    daily_tokens: int | None = None
    failures: int = 5
    open_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Charge:
    """Tokens and what they cost."""

    tokens: int
    eur: Decimal


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """Whether nobody asks a provider; ``for_s`` is None where it may be asked."""

    for_s: float | None
    is_new: bool


class ModelCalls:
    """The ledger's side of asking; opened when it is first needed, used by one thread."""

    def __init__(
        self, opened: Callable[[], Connection], dag_id: str | None = None, run_id: str | None = None
    ) -> None:
        self._open = opened
        self._dag_id = dag_id
        self._run_id = run_id
        self._connection: Connection | None = None

    def kept(self, key: AnswerKey) -> Reply | None:
        """Return an answer that was given before."""
        with self._ledger() as connection:
            row = connection.execute(
                "SELECT content, ending, provider, answered_by, input_tokens, output_tokens, cost_eur"
                " FROM model_answer"
                " WHERE (text_hash, prompt_hash, model, rubric_version) = (%s, %s, %s, %s)",
                (key.text_hash, key.prompt_hash, key.model, key.rubric_version),
            ).fetchone()
        if row is None:
            return None
        content, ending, provider, model, tokens_in, tokens_out, cost = row
        return Reply(
            content,
            ending,
            provider,
            model,
            tokens_in,
            tokens_out,
            None if cost is None else float(cost),
        )

    def keep(self, key: AnswerKey, reply: Reply) -> None:
        """Keep an answer; the first one stays."""
        with self._ledger() as connection:
            connection.execute(
                "INSERT INTO model_answer (text_hash, prompt_hash, model, rubric_version, content,"
                " ending, provider, answered_by, input_tokens, output_tokens, cost_eur)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                (
                    key.text_hash,
                    key.prompt_hash,
                    key.model,
                    key.rubric_version,
                    cleaned(reply.content)[0],
                    reply.ending,
                    reply.provider,
                    reply.model,
                    reply.input_tokens,
                    reply.output_tokens,
                    reply.cost_eur,
                ),
            )

    def begin(
        self,
        limits: Limits,
        most: Charge,
        *,
        provider: str,
        model: str,
        purpose: str,
        text_hash: str,
    ) -> int:
        """Reserve the most that a call may cost, before it is made, and return its id.

        Raises:
            CircuitOpenError: The provider is left alone for ``retry_after_s``.
            ProbeUnderwayError: Another caller finds out whether it is back.
            BudgetSpentError: The call could pass the day's budget.
        """
        with self._ledger() as connection, connection.transaction():
            # Callers take turns: two that each see room for one call would make two.
            hold(connection, f"budget of {limits.conn_id}")
            self._check_open(connection, limits, take_turn=True)
            self._check_budget(connection, limits, most)
            row = connection.execute(
                "INSERT INTO provider_call (conn_id, provider, model, purpose, text_hash,"
                " charged_tokens, charged_eur, dag_id, run_id)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING call_id",
                (
                    limits.conn_id,
                    provider,
                    model,
                    purpose,
                    text_hash,
                    most.tokens,
                    most.eur,
                    self._dag_id,
                    self._run_id,
                ),
            ).fetchone()
        assert row is not None  # noqa: S101 - an insert returns its row
        return int(row[0])

    def answered(
        self, limits: Limits, call_id: int, charge: Charge, *, model: str, tokens: tuple[int, int]
    ) -> None:
        """Charge what the call took, and close the provider's breaker."""
        with self._ledger() as connection, connection.transaction():
            connection.execute(
                "UPDATE provider_call SET status = 'answered', ended_at = now(), charged_tokens = %s,"
                " charged_eur = %s, answered_by = %s, input_tokens = %s, output_tokens = %s"
                " WHERE call_id = %s",
                (charge.tokens, charge.eur, model, *tokens, call_id),
            )
            connection.execute("DELETE FROM provider_state WHERE conn_id = %s", (limits.conn_id,))

    def failed(
        self,
        limits: Limits,
        call_id: int,
        error: str,
        *,
        charge: Charge | None,
        open_s: float | None = None,
    ) -> "LeftAlone":
        """Note a call that brought no answer, and open the breaker when there were too many.

        Args:
            limits: Of the connection.
            call_id: Which call.
            error: What went wrong; holds no key.
            charge: What the provider will want to be paid; None while nobody knows, and then the most
                that the call may take stays charged.
            open_s: Leave the provider alone at once, for so long.

        Returns:
            Whether the provider is left alone from now on, and for how long.
        """
        said = cleaned(error)[0][:500]
        with self._ledger() as connection, connection.transaction():
            connection.execute(
                "UPDATE provider_call SET status = %s, ended_at = now(), error = %s,"
                " charged_tokens = coalesce(%s, charged_tokens),"
                " charged_eur = coalesce(%s, charged_eur) WHERE call_id = %s",
                (
                    "unknown" if charge is None else "failed",
                    said,
                    charge.tokens if charge else None,
                    charge.eur if charge else None,
                    call_id,
                ),
            )
            row = connection.execute(
                "INSERT INTO provider_state AS s (conn_id, failures, reason) VALUES (%s, 1, %s)"
                " ON CONFLICT (conn_id) DO UPDATE SET failures = s.failures + 1,"
                " reason = excluded.reason, changed_at = now() RETURNING failures, open_until > now()",
                (limits.conn_id, said),
            ).fetchone()
            assert row is not None  # noqa: S101 - an insert returns its row
            failures, is_open = row
            if open_s is None and failures < limits.failures:
                return LeftAlone(None, is_new=False)
            row = connection.execute(
                "UPDATE provider_state SET probed_until = NULL, open_until = greatest(open_until,"
                " now() + make_interval(secs => %s)) WHERE conn_id = %s"
                " RETURNING extract(epoch FROM open_until - now())::float8",
                (limits.open_s if open_s is None else open_s, limits.conn_id),
            ).fetchone()
            assert row is not None  # noqa: S101 - it was inserted above
            return LeftAlone(max(1.0, row[0]), is_new=not is_open)

    def check(self, limits: Limits, most: Charge) -> None:
        """Say whether a call could be made now, without making one.

        Raises:
            CircuitOpenError: As :meth:`begin`.
            BudgetSpentError: As :meth:`begin`.
        """
        with self._ledger() as connection:
            self._check_open(connection, limits, take_turn=False)
            self._check_budget(connection, limits, most)

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _check_open(self, connection: Connection, limits: Limits, *, take_turn: bool) -> None:
        row = connection.execute(
            "SELECT extract(epoch FROM open_until - now())::float8, probed_until > now(), reason"
            " FROM provider_state WHERE conn_id = %s AND open_until IS NOT NULL",
            (limits.conn_id,),
        ).fetchone()
        if row is None:
            return
        left_s, is_probed, reason = row
        if left_s > 0:
            raise CircuitOpenError(
                f"connection {limits.conn_id} is left alone for another {left_s:.0f} s: {reason}",
                max(1.0, float(left_s)),
            )
        if not take_turn:
            return
        if is_probed:
            raise ProbeUnderwayError(
                f"connection {limits.conn_id} is being tried again: {reason}", limits.open_s
            )
        # Half open: this caller tries, the others wait for what comes of it.
        connection.execute(
            "UPDATE provider_state SET probed_until = now() + make_interval(secs => %s)"
            " WHERE conn_id = %s",
            (limits.open_s, limits.conn_id),
        )

    @staticmethod
    def _check_budget(connection: Connection, limits: Limits, most: Charge) -> None:
        if limits.daily_eur is None and limits.daily_tokens is None:
            return
        row = connection.execute(
            "SELECT charged_tokens, charged_eur FROM provider_day"
            f" WHERE conn_id = %s AND called_on = {TODAY}",
            (limits.conn_id,),
        ).fetchone()
        tokens, eur = row or (0, Decimal(0))
        for name, spent, more, budget in (
            ("tokens", tokens, most.tokens, limits.daily_tokens),
            ("EUR", eur, most.eur, limits.daily_eur),
        ):
            if budget is not None and spent + more > budget:
                raise BudgetSpentError(
                    f"connection {limits.conn_id}: {spent:.6g} of {budget:.6g} {name} are spent or"
                    f" reserved today, and the next call could cost {more:.6g}"
                )

    @contextmanager
    def _ledger(self) -> Iterator[Connection]:
        try:
            if self._connection is None:
                self._connection = self._open()
            yield self._connection
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            self.close()
            raise LedgerUnavailableError(
                f"the ledger (connection participation_db) did not answer: {str(error).strip()}"
            ) from error
