"""Hand out contributions in chunks: a *claim* says which chunk works on a contribution.

Whoever claims first works. A claim that is not renewed expires by the clock of the database and may
then be taken over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from participation.ledger.attempt import AttemptLedger
from participation.ledger.locks import SPLIT_LOCK, hold

LEASE_MINUTES = 15
"""A chunk whose run stopped without a word may be taken over after this; renewed by every step."""

MAX_CHUNKS = 500
"""Their ids fit one docket; what is beyond (a million texts a run) is left to the next run."""

OPEN_WORK = """
c.municipality = %(municipality)s
AND (c.state_rubric IS NULL OR c.state_rubric <> ALL(%(standing)s::text[])
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

LOCK_ABANDONED = """
SELECT w.chunk_id FROM work_chunk w
WHERE w.municipality = %(municipality)s AND w.settled_at IS NULL AND w.claimed_until <= now()
  AND EXISTS (SELECT FROM claim k WHERE k.chunk_id = w.chunk_id)
ORDER BY w.chunk_id FOR UPDATE OF w
"""
"""Chunks whose contributions may be taken over; one that is being settled is waited for."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What one run is asked to judge: a day, or some ids; both None means everything open.

    ``standing`` are rubrics besides the run's own whose judgements are left as they are.
    """

    day: date | None = None
    ids: tuple[str, ...] | None = None
    standing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claims(AttemptLedger):
    """What a run takes, holds and gives back."""

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
            hold(self.connection, SPLIT_LOCK)
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

    def _names(self, selection: Selection, rubric_version: str) -> dict[str, Any]:
        return {
            "municipality": self.municipality,
            "rubric": rubric_version,
            "standing": [rubric_version, *selection.standing],
            "day": selection.day,
            "ids": list(selection.ids) if selection.ids is not None else None,
            "dag_id": self.attempt.dag_id,
            "run_id": self.attempt.run_id,
            "minutes": LEASE_MINUTES,
        }

    def _take_out_of_quarantine(self, names: Mapping[str, Any]) -> None:
        # Also what a run set aside under other rules and left before it settled.
        self.connection.execute(
            "UPDATE quarantine SET resolved_at = now(), resolution = 'judged again'"
            " WHERE resolved_at IS NULL AND contribution_id IN (SELECT contribution_id FROM wanted"
            "  WHERE state = 'quarantined' OR quarantine.rubric_version <> %(rubric)s)",
            names,
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
