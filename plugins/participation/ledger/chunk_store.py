"""Keep what the steps answer about a chunk: the store that a step over a chunk asks for.

Two guards let one answer in: a *lease token* says which attempt works on a chunk (the newest one; an
older writer updates nothing and stops), and the primary key of ``step_result`` keeps one result per
(item, step, input hash, rubric version).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from include.contributions.analysis import Answer, ItemFailure, Lease, WaitingItem
from include.contributions.model import Category, Contribution
from include.errors import LeaseLostError
from participation.ledger.attempt import AttemptLedger
from participation.ledger.claims import LEASE_MINUTES


@dataclass(frozen=True)
class ChunkResults(AttemptLedger):
    """The :class:`include.contributions.analysis.ChunkStore` of an attempt."""

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

    def rubric_of_chunk(self, chunk_id: int) -> str | None:
        """Return the rubric under which a chunk was cut."""
        row = self.connection.execute(
            "SELECT rubric_version FROM work_chunk WHERE chunk_id = %s", (chunk_id,)
        ).fetchone()
        return row[0] if row else None

    def chunks_split_from(self, chunk_id: int) -> list[tuple[int, str]]:
        """List the unsettled chunks to which a chunk's items were moved: (chunk id, rubric)."""
        return self.connection.execute(
            "SELECT chunk_id, rubric_version FROM work_chunk"
            " WHERE split_from = %s AND settled_at IS NULL ORDER BY chunk_id",
            (chunk_id,),
        ).fetchall()

    def split_off(self, lease: Lease, rubric_version: str, item_ids: Sequence[str]) -> None:
        """Move items of a chunk to one of the same run under another rubric, made when it is needed.

        A chunk has one rubric, and so has the state of every contribution in it.

        Raises:
            LeaseLostError: Another attempt holds the chunk now; nothing was moved.
        """
        names = {
            "chunk": lease.chunk_id,
            "rubric": rubric_version,
            "own_rubric": lease.rubric_version,
            "items": list(item_ids),
            "minutes": LEASE_MINUTES,
        }
        with self.connection.transaction():
            self._hold(lease)
            row = self.connection.execute(
                "SELECT chunk_id FROM work_chunk WHERE split_from = %(chunk)s"
                " AND rubric_version = %(rubric)s AND settled_at IS NULL FOR UPDATE",
                names,
            ).fetchone()
            if row is None:
                row = self.connection.execute(
                    "INSERT INTO work_chunk (municipality, received_on, days, rubric_version, dag_id,"
                    " run_id, position, item_count, claimed_until, split_from)"
                    " SELECT municipality, received_on, days, %(rubric)s, dag_id, run_id,"
                    " (SELECT max(o.position) + 1 FROM work_chunk o"
                    "  WHERE (o.dag_id, o.run_id) = (w.dag_id, w.run_id)),"
                    " 0, now() + make_interval(mins => %(minutes)s), chunk_id"
                    " FROM work_chunk w WHERE chunk_id = %(chunk)s RETURNING chunk_id",
                    names,
                ).fetchone()
            assert row is not None  # noqa: S101 - the chunk is held above
            names["to"] = row[0]
            moved = self.connection.execute(
                "UPDATE claim SET chunk_id = %(to)s WHERE chunk_id = %(chunk)s"
                " AND contribution_id = ANY(%(items)s)",
                names,
            ).rowcount
            self.connection.execute(
                "UPDATE work_chunk SET item_count = item_count + %(moved)s WHERE chunk_id = %(to)s",
                {**names, "moved": moved},
            )
            self.connection.execute(
                "DELETE FROM judged_alone WHERE contribution_id = ANY(%(items)s)"
                " AND rubric_version = %(own_rubric)s",
                names,
            )

    def is_settled(self, chunk_id: int) -> bool:
        """Say whether every contribution of a chunk has its state: nothing is left to do."""
        query = (
            "SELECT count(*) FROM work_chunk WHERE chunk_id = %(chunk)s AND settled_at IS NOT NULL"
        )
        return bool(self._one(query, {"chunk": chunk_id}))

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
                " LEFT JOIN judged_alone j ON (j.contribution_id, j.step, j.rubric_version)"
                "  = (k.contribution_id, %(step)s, %(rubric)s)"
                " WHERE k.chunk_id = %(chunk)s AND k.contribution_id > %(after)s"
                " AND NOT EXISTS (SELECT FROM step_result r WHERE r.item_id = c.contribution_id"
                "  AND r.step = %(step)s AND r.input_hash = c.input_hash"
                "  AND r.rubric_version = %(rubric)s)"
                " AND NOT EXISTS (SELECT FROM quarantine q WHERE q.contribution_id ="
                "  c.contribution_id AND q.rubric_version = %(rubric)s AND q.resolved_at IS NULL)"
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

        Notes are kept per rubric: rules and engine that were mended are not judged by those deaths.

        Raises:
            LeaseLostError: Another attempt holds the chunk now.
        """
        with self.connection.transaction():
            self._hold(lease)
            self.connection.execute(
                "INSERT INTO judged_alone (contribution_id, step, rubric_version)"
                " VALUES (%s, %s, %s) ON CONFLICT (contribution_id, step, rubric_version)"
                " DO UPDATE SET begun = judged_alone.begun + 1, begun_at = now()",
                (item_id, step, lease.rubric_version),
            )

    def end_alone(self, lease: Lease, step: str, item_id: str) -> None:
        """Take one note of :meth:`begin_alone` back: the judgement failed, but the process lives.

        The lease may be lost by now: what is taken back is this attempt's own note, whoever works on now.
        """
        key = (item_id, step, lease.rubric_version)
        with self.connection.transaction():
            self.connection.execute(
                "UPDATE judged_alone SET begun = begun - 1"
                " WHERE (contribution_id, step, rubric_version) = (%s, %s, %s)",
                key,
            )
            self.connection.execute(
                "DELETE FROM judged_alone"
                " WHERE (contribution_id, step, rubric_version) = (%s, %s, %s) AND begun < 1",
                key,
            )

    def has_results(self, lease: Lease, step: str) -> bool:
        """Say whether any contribution of the chunk has its result of the step."""
        query = (
            "SELECT count(*) FROM (SELECT FROM claim k JOIN contribution c USING (contribution_id)"
            " JOIN step_result r ON r.item_id = c.contribution_id AND r.step = %(step)s"
            " AND r.input_hash = c.input_hash AND r.rubric_version = %(rubric)s"
            " WHERE k.chunk_id = %(chunk)s LIMIT 1) AS found"
        )
        names = {"step": step, "rubric": lease.rubric_version, "chunk": lease.chunk_id}
        return bool(self._one(query, names))

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
                " WHERE (j.contribution_id, j.step, j.rubric_version)"
                "  = (a.item_id, %(step)s, %(rubric)s)",
                names,
            )
            for failure in failures:
                self._quarantine(lease, step, failure)
        return stored

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
            "DELETE FROM judged_alone WHERE (contribution_id, step, rubric_version) = (%s, %s, %s)",
            (failure.item_id, step, lease.rubric_version),
        )
        self.connection.execute(
            "INSERT INTO quarantine (municipality, kind, locator, contribution_id, step,"
            " rubric_version, reason, detail, received_on) SELECT c.municipality, 'contribution',"
            " c.contribution_id, c.contribution_id, %(step)s, %(rubric)s, %(reason)s, %(detail)s,"
            " c.received_on"
            " FROM contribution c JOIN claim k USING (contribution_id)"
            " WHERE c.contribution_id = %(item)s AND k.chunk_id = %(chunk)s"
            " ON CONFLICT DO NOTHING",
            {
                "step": step,
                "rubric": lease.rubric_version,
                "reason": failure.reason,
                "detail": failure.detail,
                "item": failure.item_id,
                "chunk": lease.chunk_id,
            },
        )


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
