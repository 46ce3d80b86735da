"""Hand out contributions in chunks, keep what the steps answer, and settle each state once.

Execution is at-least-once, the recorded effect exactly-once. Three guards make it so: a *claim* says
which chunk works on a contribution, a *lease token* says which attempt works on a chunk (the newest
one; an older writer updates nothing and stops), and the primary key of ``step_result`` lets one result
in per (item, step, input hash, rubric version).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from include.contributions.analysis import Answer, ItemFailure, Lease, WaitingItem
from include.contributions.model import STATE_OF_DECISION, STATES, Category, Contribution
from include.errors import LeaseLostError, ReconciliationError
from participation.ledger.connection import Connection

LEASE_MINUTES = 15
"""A chunk whose run stopped without a word may be taken over after this; renewed by every step."""

MAX_CHUNKS = 500
"""Their ids fit one docket; what is beyond (a million texts a run) is left to the next run."""

SPLIT_LOCK = 7_142_027
"""Two runs that split at the same moment take turns, so that each contribution goes to one of them."""

OPEN_WORK = """
c.municipality = %(municipality)s
AND (c.state_rubric IS DISTINCT FROM %(rubric)s
     OR c.state = 'quarantined' AND %(ids)s::text[] IS NOT NULL)
AND NOT EXISTS (SELECT FROM decision d WHERE d.contribution_id = c.contribution_id)
AND (%(day)s::date IS NULL OR c.received_on = %(day)s::date)
AND (%(ids)s::text[] IS NULL OR c.contribution_id = ANY(%(ids)s::text[]))
"""

FREE = """
NOT EXISTS (
    SELECT FROM claim k JOIN work_chunk w USING (chunk_id)
    WHERE k.contribution_id = c.contribution_id
      AND w.claimed_until > now() AND w.settled_at IS NULL)
"""

STATE_OF_ANSWER = " ".join(
    [
        "CASE v.output ->> 'decision'",
        *(f"WHEN '{decision}' THEN '{state}'" for decision, state in STATE_OF_DECISION.items()),
        "END",
    ]
)
"""The state that a stored validation leads to; an answer of another kind leads to none, and fails."""

LOCK_ABANDONED = """
SELECT w.chunk_id FROM work_chunk w
WHERE w.municipality = %(municipality)s AND w.settled_at IS NULL AND w.claimed_until <= now()
  AND EXISTS (SELECT FROM claim k WHERE k.chunk_id = w.chunk_id)
ORDER BY w.chunk_id FOR UPDATE OF w
"""
"""Chunks whose contributions may be taken over; one that is being settled is waited for."""

RESULTS = f"""
SELECT c.contribution_id, c.state, c.received_on, w.rubric_version, c.input_hash,
       CASE WHEN q.quarantine_id IS NOT NULL THEN 'quarantined' ELSE {STATE_OF_ANSWER} END
       AS new_state,
       s.output ->> 'category' AS category, s.output ->> 'second_category' AS second_category,
       coalesce(q.reason, v.output ->> 'review_reason', v.output ->> 'decision') AS reason
FROM claim k
JOIN work_chunk w USING (chunk_id)
JOIN contribution c USING (contribution_id)
LEFT JOIN quarantine q ON q.contribution_id = c.contribution_id AND q.resolved_at IS NULL
LEFT JOIN step_result v ON (v.item_id, v.step, v.input_hash, v.rubric_version)
    = (c.contribution_id, 'validate', c.input_hash, w.rubric_version)
LEFT JOIN step_result s ON (s.item_id, s.step, s.input_hash, s.rubric_version)
    = (c.contribution_id, 'classify', c.input_hash, w.rubric_version)
LEFT JOIN step_result e ON (e.item_id, e.step, e.input_hash, e.rubric_version)
    = (c.contribution_id, 'evaluate', c.input_hash, w.rubric_version)
WHERE k.chunk_id = %(chunk)s
  AND (q.quarantine_id IS NOT NULL
       OR (v.item_id IS NOT NULL AND s.item_id IS NOT NULL AND e.item_id IS NOT NULL))
  AND NOT EXISTS (SELECT FROM decision d WHERE d.contribution_id = c.contribution_id)
"""


@dataclass(frozen=True, slots=True)
class Selection:
    """What one run is asked to judge: a day, or some ids; both None means everything open."""

    day: date | None = None
    ids: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """The task attempt that writes; stored with every result."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int

    @property
    def holder(self) -> str:
        """One line that names the attempt in a lease and in messages."""
        return f"{self.dag_id}/{self.run_id}/{self.task_id}[{self.map_index}]#{self.try_number}"


@dataclass(frozen=True)
class LedgerAnalysis:
    """The analysis side of the ledger for one attempt of one municipality.

    Also the :class:`include.contributions.analysis.ChunkStore` of a chunk's steps.
    """

    connection: Connection
    municipality: str
    attempt: Attempt

    def split(
        self, selection: Selection, rubric_version: str, chunk_size: int
    ) -> list[dict[str, int]]:
        """Claim what lacks a judgement under the rubric and return this run's unsettled chunks.

        Each is ``{"chunk_id", "item_count"}``. Chunks are equal in size and at most ``chunk_size``
        long. Asked again by the same run, it returns the same chunks and adds what came since.
        """
        most = MAX_CHUNKS * chunk_size
        names = {**self._names(selection, rubric_version), "most": most}
        with self.connection.transaction():
            self.connection.execute("SELECT pg_advisory_xact_lock(%s)", (SPLIT_LOCK,))
            self.connection.execute(LOCK_ABANDONED, names)
            # Chunks that this run cut under an older rubric are cut anew.
            self.connection.execute(
                "DELETE FROM claim k USING work_chunk w WHERE k.chunk_id = w.chunk_id"
                " AND w.dag_id = %(dag_id)s AND w.run_id = %(run_id)s"
                " AND w.rubric_version <> %(rubric)s",
                names,
            )
            self.connection.execute(
                "CREATE TEMPORARY TABLE wanted ON COMMIT DROP AS SELECT c.contribution_id,"
                " c.received_on, c.state,"
                " row_number() OVER (ORDER BY c.contribution_id) - 1 AS position"
                f" FROM contribution c WHERE {OPEN_WORK} AND {FREE}"
                " ORDER BY c.contribution_id LIMIT %(most)s",
                names,
            )
            count = self._one("SELECT count(*) FROM wanted")
            if count:
                self._take_out_of_quarantine(names)
                self._add_chunks(names, count, chunk_size)
            # A run that is repeated renews its own claims before it hands the chunks out again.
            self.connection.execute(
                "UPDATE work_chunk SET claimed_until = now() + make_interval(mins => %(minutes)s)"
                " WHERE dag_id = %(dag_id)s AND run_id = %(run_id)s AND settled_at IS NULL",
                names,
            )
            rows = self.connection.execute(
                "SELECT w.chunk_id, count(k.contribution_id) FROM work_chunk w"
                " JOIN claim k USING (chunk_id) WHERE w.dag_id = %(dag_id)s"
                " AND w.run_id = %(run_id)s AND w.settled_at IS NULL GROUP BY w.chunk_id"
                " ORDER BY w.chunk_id",
                names,
            ).fetchall()
        return [{"chunk_id": chunk_id, "item_count": items} for chunk_id, items in rows]

    def open_elsewhere(self, selection: Selection, rubric_version: str) -> dict[str, int]:
        """Count the open work of a selection that other runs hold, by ``dag_id/run_id``."""
        rows = self.connection.execute(
            "SELECT w.dag_id || '/' || w.run_id, count(*) FROM contribution c"
            " JOIN claim k USING (contribution_id) JOIN work_chunk w USING (chunk_id)"
            f" WHERE {OPEN_WORK} AND w.settled_at IS NULL AND w.claimed_until > now()"
            " AND (w.dag_id, w.run_id) <> (%(dag_id)s, %(run_id)s) GROUP BY 1 ORDER BY 2 DESC LIMIT 5",
            self._names(selection, rubric_version),
        ).fetchall()
        return dict(rows)

    def take_lease(self, chunk_id: int) -> Lease:
        """Become the one attempt that writes for a chunk; the attempt before loses its lease.

        Raises:
            LeaseLostError: The chunk is settled, or not there.
        """
        row = self.connection.execute(
            "UPDATE work_chunk SET lease_token = gen_random_uuid(), lease_holder = %s,"
            " claimed_until = now() + make_interval(mins => %s)"
            " WHERE chunk_id = %s AND settled_at IS NULL RETURNING lease_token, rubric_version",
            (self.attempt.holder, LEASE_MINUTES, chunk_id),
        ).fetchone()
        if row is None:
            raise LeaseLostError(f"chunk {chunk_id} is settled already: nothing is left to do")
        return Lease(chunk_id, str(row[0]), str(row[1]))

    def waiting_items(
        self, lease: Lease, step: str, needs: Sequence[str], limit: int
    ) -> Iterator[list[WaitingItem]]:
        """Yield the chunk's contributions that lack a result of the step, ``limit`` at a time.

        Each comes with the output of the steps it ``needs``, as JSON. Keyset paging by id: what a
        batch stores or quarantines is never met twice, and memory stays flat.
        """
        after = ""
        earlier = "".join(
            f", (SELECT output::text FROM step_result WHERE (item_id, step, input_hash,"
            f" rubric_version) = (c.contribution_id, %(need_{n})s, c.input_hash, %(rubric)s))"
            for n in range(len(needs))
        )
        while True:
            rows = self.connection.execute(
                "SELECT c.contribution_id, c.constat_factuel, c.idees_ameliorations,"
                f" c.declared_category, c.input_hash, coalesce(j.begun, 0){earlier}"
                " FROM claim k JOIN contribution c USING (contribution_id)"
                " LEFT JOIN judged_alone j ON (j.contribution_id, j.step)"
                "  = (k.contribution_id, %(step)s)"
                " WHERE k.chunk_id = %(chunk)s AND k.contribution_id > %(after)s"
                " AND NOT EXISTS (SELECT FROM step_result r WHERE r.item_id = c.contribution_id"
                "  AND r.step = %(step)s AND r.input_hash = c.input_hash"
                "  AND r.rubric_version = %(rubric)s)"
                " AND NOT EXISTS (SELECT FROM quarantine q WHERE q.contribution_id ="
                "  c.contribution_id AND q.resolved_at IS NULL)"
                " ORDER BY k.contribution_id LIMIT %(limit)s",
                {
                    "chunk": lease.chunk_id,
                    "rubric": lease.rubric_version,
                    "step": step,
                    **{f"need_{n}": need for n, need in enumerate(needs)},
                    "after": after,
                    "limit": limit,
                },
            ).fetchall()
            if not rows:
                return
            after = rows[-1][0]
            yield [_waiting(row, needs) for row in rows]

    def begin_alone(self, lease: Lease, step: str, item_id: str) -> None:
        """Note that an item is judged alone now; committed before the judgement begins.

        Raises:
            LeaseLostError: Another attempt holds the chunk now.
        """
        with self.connection.transaction():
            self._hold(lease)
            self.connection.execute(
                "INSERT INTO judged_alone (contribution_id, step) VALUES (%s, %s)"
                " ON CONFLICT (contribution_id, step)"
                " DO UPDATE SET begun = judged_alone.begun + 1, begun_at = now()",
                (item_id, step),
            )

    def save(
        self,
        lease: Lease,
        step: str,
        answers: Iterable[Answer],
        failures: Iterable[ItemFailure],
    ) -> int:
        """Store a batch under the lease and return how many results were new.

        Raises:
            LeaseLostError: Another attempt holds the chunk now; nothing of the batch was stored.
        """
        with self.connection.transaction():
            self._hold(lease)
            self.connection.execute(
                "CREATE TEMPORARY TABLE IF NOT EXISTS answer (item_id text, input_hash text,"
                " output jsonb, confidence real, engine text) ON COMMIT DELETE ROWS"
            )
            with self.connection.cursor().copy("COPY answer FROM STDIN") as copy:
                for answer in answers:
                    copy.write_row(
                        (
                            answer.item_id,
                            answer.input_hash,
                            answer.output,
                            answer.confidence,
                            answer.engine,
                        )
                    )
            names = {
                "chunk": lease.chunk_id,
                "step": step,
                "rubric": lease.rubric_version,
                "dag_id": self.attempt.dag_id,
                "run_id": self.attempt.run_id,
                "map_index": self.attempt.map_index,
                "try_number": self.attempt.try_number,
            }
            # The claim is asked again here: another run may have taken an expired one over.
            stored = self.connection.execute(
                "INSERT INTO step_result (item_id, step, input_hash, rubric_version, output,"
                " confidence, engine, dag_id, run_id, map_index, try_number)"
                " SELECT a.item_id, %(step)s, a.input_hash, %(rubric)s, a.output,"
                " a.confidence, a.engine, %(dag_id)s, %(run_id)s, %(map_index)s, %(try_number)s"
                " FROM answer a JOIN claim k ON k.contribution_id = a.item_id"
                " AND k.chunk_id = %(chunk)s ORDER BY a.item_id ON CONFLICT DO NOTHING",
                names,
            ).rowcount
            self.connection.execute(
                "DELETE FROM judged_alone j USING answer a"
                " WHERE (j.contribution_id, j.step) = (a.item_id, %(step)s)",
                names,
            )
            for failure in failures:
                self._quarantine(lease, step, failure)
        return stored

    def settle(self, changed_by: str) -> dict[str, int]:
        """Give each contribution of this run's chunks its state, and open the review cases.

        One transaction a chunk. A contribution that lacks a result stays as it is, and so does its
        chunk: :meth:`reconcile` says so. One that a person decided is left alone. Returns how many
        contributions reached each state.
        """
        totals: dict[str, int] = {}
        chunks = self.connection.execute(
            "SELECT chunk_id FROM work_chunk WHERE dag_id = %s AND run_id = %s"
            " AND settled_at IS NULL ORDER BY chunk_id",
            (self.attempt.dag_id, self.attempt.run_id),
        ).fetchall()
        for (chunk_id,) in chunks:
            for state, count in self._settle_chunk(chunk_id, changed_by).items():
                totals[state] = totals.get(state, 0) + count
        return totals

    def unsettled(self) -> list[tuple[int, int]]:
        """List this run's chunks that still hold contributions: (chunk id, how many)."""
        return [
            (chunk_id, count)
            for chunk_id, count in self.connection.execute(
                "SELECT w.chunk_id, count(*) FROM work_chunk w JOIN claim k USING (chunk_id)"
                " WHERE w.dag_id = %s AND w.run_id = %s AND w.settled_at IS NULL"
                " GROUP BY w.chunk_id ORDER BY w.chunk_id",
                (self.attempt.dag_id, self.attempt.run_id),
            ).fetchall()
        ]

    def release(self) -> int:
        """Give back what this run still claims, so that the next run may take it at once.

        The claims expire and stay: what nobody took by then is found again when a task of this run
        is cleared. Returns how many contributions were given back.
        """
        row = self.connection.execute(
            "WITH given AS (UPDATE work_chunk SET claimed_until = now(), lease_token = NULL"
            " WHERE dag_id = %s AND run_id = %s AND settled_at IS NULL RETURNING chunk_id)"
            " SELECT count(*)::int FROM claim JOIN given USING (chunk_id)",
            (self.attempt.dag_id, self.attempt.run_id),
        ).fetchone()
        return int(row[0]) if row else 0

    def days_of_run(self) -> list[date]:
        """List the days whose contributions this run's chunks held."""
        return [
            day
            for (day,) in self.connection.execute(
                "SELECT DISTINCT unnest(days) FROM work_chunk WHERE dag_id = %s AND run_id = %s"
                " ORDER BY 1",
                (self.attempt.dag_id, self.attempt.run_id),
            ).fetchall()
        ]

    def settled_days(self) -> list[date]:
        """List the days on which this run gave contributions their states, in any of its attempts."""
        return [
            day
            for (day,) in self.connection.execute(
                "SELECT DISTINCT unnest(settled_days) FROM work_chunk"
                " WHERE dag_id = %s AND run_id = %s ORDER BY 1",
                (self.attempt.dag_id, self.attempt.run_id),
            ).fetchall()
        ]

    def has_chunks(self) -> bool:
        """Say whether this run ever cut a chunk."""
        query = "SELECT count(*) FROM work_chunk WHERE dag_id = %(dag)s AND run_id = %(run)s"
        return bool(self._one(query, {"dag": self.attempt.dag_id, "run": self.attempt.run_id}))

    def day_of_chunk(self, chunk_id: int) -> date | None:
        """Return the first received day of a chunk's contributions."""
        row = self.connection.execute(
            "SELECT received_on FROM work_chunk WHERE chunk_id = %s", (chunk_id,)
        ).fetchone()
        return row[0] if row else None

    def unknown(self, ids: Sequence[str]) -> list[str]:
        """List the ids that this municipality's ledger does not hold."""
        rows = self.connection.execute(
            "SELECT asked FROM unnest(%s::text[]) asked WHERE NOT EXISTS (SELECT FROM contribution c"
            " WHERE c.contribution_id = asked AND c.municipality = %s)",
            (list(ids), self.municipality),
        ).fetchall()
        return [asked for (asked,) in rows]

    def whole_result(self, contribution_id: str) -> dict[str, Any]:
        """Return the three outputs that a contribution's state follows, by step."""
        row = self.connection.execute(
            "SELECT jsonb_object_agg(r.step, r.output) FROM step_result r JOIN contribution c"
            " ON (r.item_id, r.input_hash, r.rubric_version)"
            " = (c.contribution_id, c.input_hash, c.state_rubric) WHERE c.contribution_id = %s",
            (contribution_id,),
        ).fetchone()
        return dict(row[0]) if row and row[0] else {}

    def _names(self, selection: Selection, rubric_version: str) -> dict[str, Any]:
        return {
            "municipality": self.municipality,
            "rubric": rubric_version,
            "day": selection.day,
            "ids": list(selection.ids) if selection.ids is not None else None,
            "dag_id": self.attempt.dag_id,
            "run_id": self.attempt.run_id,
            "minutes": LEASE_MINUTES,
        }

    def _one(self, query: str, names: Mapping[str, Any] | None = None) -> int:
        row = self.connection.execute(query, names).fetchone()
        return int(row[0]) if row else 0

    def _take_out_of_quarantine(self, names: Mapping[str, Any]) -> None:
        self.connection.execute(
            "UPDATE quarantine SET resolved_at = now(), resolution = 'judged again'"
            " WHERE resolved_at IS NULL AND contribution_id IN"
            " (SELECT contribution_id FROM wanted WHERE state = 'quarantined')"
        )
        self.connection.execute(
            "INSERT INTO state_change (contribution_id, from_state, to_state, changed_by)"
            " SELECT contribution_id, state, 'pending', %(dag_id)s || '/' || %(run_id)s"
            " FROM wanted WHERE state = 'quarantined'",
            names,
        )
        self.connection.execute(
            "UPDATE contribution SET state = 'pending', state_rubric = NULL, state_changed_at = now()"
            " WHERE contribution_id IN"
            " (SELECT contribution_id FROM wanted WHERE state = 'quarantined')"
        )

    def _add_chunks(self, names: Mapping[str, Any], count: int, chunk_size: int) -> None:
        chunks = -(-count // chunk_size)
        per_chunk = -(-count // chunks)
        first = self._one(
            "SELECT coalesce(max(position) + 1, 0) FROM work_chunk"
            " WHERE dag_id = %(dag_id)s AND run_id = %(run_id)s",
            names,
        )
        sizes = {**names, "per_chunk": per_chunk, "first": first}
        self.connection.execute(
            "INSERT INTO work_chunk (municipality, received_on, days, rubric_version, dag_id, run_id,"
            " position, item_count, claimed_until)"
            " SELECT %(municipality)s, min(received_on), array_agg(DISTINCT received_on),"
            " %(rubric)s, %(dag_id)s, %(run_id)s,"
            " %(first)s + position / %(per_chunk)s, count(*),"
            " now() + make_interval(mins => %(minutes)s)"
            " FROM wanted GROUP BY position / %(per_chunk)s ORDER BY position / %(per_chunk)s",
            sizes,
        )
        self.connection.execute(
            "INSERT INTO claim (contribution_id, chunk_id)"
            " SELECT n.contribution_id, w.chunk_id FROM wanted n JOIN work_chunk w"
            " ON w.dag_id = %(dag_id)s AND w.run_id = %(run_id)s"
            " AND w.position = %(first)s + n.position / %(per_chunk)s"
            " ON CONFLICT (contribution_id) DO UPDATE SET chunk_id = excluded.chunk_id",
            sizes,
        )

    def _hold(self, lease: Lease) -> None:
        row = self.connection.execute(
            "UPDATE work_chunk SET claimed_until = now() + make_interval(mins => %s)"
            " WHERE chunk_id = %s AND lease_token = %s AND settled_at IS NULL RETURNING chunk_id",
            (LEASE_MINUTES, lease.chunk_id, UUID(lease.token)),
        ).fetchone()
        if row is None:
            raise LeaseLostError(
                f"chunk {lease.chunk_id}: another attempt took the lease of {self.attempt.holder}; "
                "nothing of this batch was stored"
            )

    def _quarantine(self, lease: Lease, step: str, failure: ItemFailure) -> None:
        self.connection.execute(
            "DELETE FROM judged_alone WHERE (contribution_id, step) = (%s, %s)",
            (failure.item_id, step),
        )
        self.connection.execute(
            "INSERT INTO quarantine (municipality, kind, locator, contribution_id, step, reason,"
            " detail, received_on) SELECT c.municipality, 'contribution', c.contribution_id,"
            " c.contribution_id, %(step)s, %(reason)s, %(detail)s, c.received_on"
            " FROM contribution c JOIN claim k USING (contribution_id)"
            " WHERE c.contribution_id = %(item)s AND k.chunk_id = %(chunk)s"
            " ON CONFLICT DO NOTHING",
            {
                "step": step,
                "reason": failure.reason,
                "detail": failure.detail,
                "item": failure.item_id,
                "chunk": lease.chunk_id,
            },
        )

    def _settle_chunk(self, chunk_id: int, changed_by: str) -> dict[str, int]:
        names = {"chunk": chunk_id, "changed_by": changed_by}
        with self.connection.transaction():
            # Who holds what is read under the chunk's lock: a run that takes contributions over, a
            # writer and a second settling wait for this one, or this one finds what they left.
            locked = self.connection.execute(
                "SELECT FROM work_chunk WHERE chunk_id = %(chunk)s AND settled_at IS NULL FOR UPDATE",
                names,
            ).fetchone()
            if locked is None:
                return {}
            self.connection.execute(
                f"CREATE TEMPORARY TABLE settling ON COMMIT DROP AS {RESULTS}", names
            )
            self.connection.execute(
                "UPDATE contribution c SET state = s.new_state, state_rubric = s.rubric_version,"
                " state_changed_at = now(), category = s.category,"
                " second_category = s.second_category"
                " FROM settling s WHERE c.contribution_id = s.contribution_id",
            )
            self.connection.execute(
                "INSERT INTO state_change (contribution_id, from_state, to_state, rubric_version,"
                " changed_by) SELECT contribution_id, state, new_state, rubric_version,"
                " %(changed_by)s FROM settling WHERE state <> new_state",
                names,
            )
            self.connection.execute(
                "UPDATE review_case r SET closed_at = now() FROM settling s"
                " WHERE r.contribution_id = s.contribution_id AND r.closed_at IS NULL"
                " AND (s.new_state = 'accepted'"
                " OR (r.rubric_version, r.input_hash) <> (s.rubric_version, s.input_hash))",
            )
            self.connection.execute(
                "INSERT INTO review_case (contribution_id, input_hash, rubric_version, kind, reason)"
                " SELECT contribution_id, input_hash, rubric_version, new_state, reason"
                " FROM settling WHERE new_state IN ('review', 'refusal_proposed', 'quarantined')"
                # Rules that were rolled back ask the same question again.
                " ON CONFLICT (contribution_id, input_hash, rubric_version) DO UPDATE"
                " SET kind = excluded.kind, reason = excluded.reason, closed_at = NULL,"
                " opened_at = CASE WHEN review_case.closed_at IS NULL"
                " THEN review_case.opened_at ELSE now() END",
            )
            self.connection.execute(
                "DELETE FROM claim k WHERE k.chunk_id = %(chunk)s AND EXISTS ("
                " SELECT FROM settling s WHERE s.contribution_id = k.contribution_id)"
                " OR k.chunk_id = %(chunk)s AND EXISTS (SELECT FROM decision d"
                " WHERE d.contribution_id = k.contribution_id)",
                names,
            )
            self.connection.execute(
                "UPDATE work_chunk SET settled_days = ARRAY(SELECT unnest(settled_days) UNION"
                " SELECT received_on FROM settling ORDER BY 1) WHERE chunk_id = %(chunk)s",
                names,
            )
            self.connection.execute(
                "UPDATE work_chunk SET settled_at = now(), lease_token = NULL"
                " WHERE chunk_id = %(chunk)s AND NOT EXISTS"
                " (SELECT FROM claim WHERE chunk_id = %(chunk)s)",
                names,
            )
            return dict(
                self.connection.execute(
                    "SELECT new_state, count(*)::int FROM settling GROUP BY new_state"
                ).fetchall()
            )


def reconcile(connection: Connection, municipality: str, day: date) -> dict[str, int]:
    """Balance the books of one day and return the count of each state and of ``submitted``.

    ``submitted`` counts receipts' distinct contributions and quarantined records; the states are
    counted from the rows themselves and held against the stored results and decisions.

    Raises:
        ReconciliationError: A sum is off, or a state follows neither a result nor a decision.
    """
    names = {"municipality": municipality, "day": day}
    with connection.transaction():
        # One snapshot for all counts: a load that commits in between must not look like a loss.
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return _balanced(connection, names)


def _balanced(connection: Connection, names: Mapping[str, Any]) -> dict[str, int]:
    day = names["day"]
    counts: dict[str, int] = dict.fromkeys(STATES, 0)
    counts |= dict(
        connection.execute(
            "SELECT state, count(*)::int FROM contribution WHERE municipality = %(municipality)s"
            " AND received_on = %(day)s GROUP BY state",
            names,
        ).fetchall()
    )
    row = connection.execute(
        "SELECT (SELECT count(*) FROM quarantine WHERE kind = 'record' AND resolved_at IS NULL"
        "        AND municipality = %(municipality)s AND received_on = %(day)s)::int,"
        " (SELECT count(DISTINCT r.contribution_id) FROM receipt r"
        "  JOIN contribution c USING (contribution_id)"
        "  WHERE c.municipality = %(municipality)s AND c.received_on = %(day)s)::int,"
        " (SELECT count(*) FROM contribution c LEFT JOIN step_result v"
        "  ON (v.item_id, v.step, v.input_hash, v.rubric_version)"
        "   = (c.contribution_id, 'validate', c.input_hash, c.state_rubric)"
        "  LEFT JOIN LATERAL (SELECT outcome FROM decision d WHERE d.contribution_id ="
        "   c.contribution_id ORDER BY decision_id DESC LIMIT 1) d ON true"
        "  WHERE c.municipality = %(municipality)s AND c.received_on = %(day)s"
        "  AND c.state <> 'pending' AND c.state IS DISTINCT FROM coalesce(d.outcome,"
        "   CASE WHEN EXISTS (SELECT FROM quarantine q WHERE q.contribution_id ="
        "     c.contribution_id AND q.resolved_at IS NULL) THEN 'quarantined'"
        f"    ELSE {STATE_OF_ANSWER} END))::int",
        names,
    ).fetchone()
    quarantined_records, received, unexplained = row or (0, 0, 0)
    counts["quarantined"] += quarantined_records
    submitted = received + quarantined_records
    if sum(counts.values()) != submitted:
        raise ReconciliationError(
            f"{day}: {submitted} submitted, but the states add up to {sum(counts.values())}: {counts}"
        )
    row = connection.execute(
        "SELECT count(*)::int FROM contribution c WHERE c.municipality = %(municipality)s"
        " AND c.received_on = %(day)s AND c.state IN ('review', 'refusal_proposed')"
        " AND NOT EXISTS (SELECT FROM decision d WHERE d.contribution_id = c.contribution_id)"
        " AND NOT EXISTS (SELECT FROM review_case r WHERE r.contribution_id = c.contribution_id"
        "  AND r.closed_at IS NULL)",
        names,
    ).fetchone()
    if row and row[0]:
        raise ReconciliationError(
            f"{day}: {row[0]} doubtful contributions have no open review case"
        )
    if unexplained:
        raise ReconciliationError(
            f"{day}: {unexplained} contributions are in a state that neither a stored result nor a "
            "person's decision explains"
        )
    return {**counts, "submitted": submitted}


def _waiting(row: tuple[Any, ...], needs: Sequence[str]) -> WaitingItem:
    contribution_id, constat_factuel, idees_ameliorations, category, input_hash = row[:5]
    begun, *outputs = row[5:]
    contribution = Contribution(
        contribution_id,
        constat_factuel,
        idees_ameliorations,
        Category(category) if category else None,
    )
    earlier = {need: output for need, output in zip(needs, outputs, strict=True) if output}
    return WaitingItem(contribution, input_hash, earlier, begun)
