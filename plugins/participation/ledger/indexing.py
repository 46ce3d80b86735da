"""Build index versions beside the live one and switch when they are whole.

Versions of one town and engine share their entries: an entry belongs to every version from the one
that added it up to the one that removed it. So a version costs what changed, the live one is never
touched by a build, and a build that died leaves rows that no reader sees.

What a version is to hold is settled when its build begins: of each source the newest document that
has all its vectors. One that is cut or embedded anew stays in as it was until it is ready.
"""

from dataclasses import dataclass

from include.errors import LeaseLostError, ReconciliationError
from participation.ledger.connection import Connection
from participation.ledger.index_statements import (
    COUNT_DIFFERENCES,
    COUNT_TERMS,
    DESCRIBE,
    DIFFERS,
    FILL,
    FOLD_TERMS,
    MISCOUNTED,
    NEXT_DOCUMENTS,
    PLAN,
    RETIRE,
)
from participation.ledger.locks import hold, index_lock
from participation.ledger.outbox import INDEX_LIVE, announce

FILL_CHUNKS = 5_000
"""Entries added in one transaction; about a second, and what a kill costs at most."""

KEEP_RETIRED = 1
"""Versions kept behind the live one: a question that began before the switch ends on its own."""

KEEP_S = 60
"""For as long a version is kept in any case: no question lasts longer, however often is switched."""


@dataclass(frozen=True, slots=True)
class Build:
    """An index version under way; ``documents`` counts those whose entries it has to add."""

    index_id: int
    base_id: int
    live_id: int | None
    documents: int


@dataclass(frozen=True, slots=True)
class LiveIndex:
    """The version that answers."""

    index_id: int
    document_count: int
    chunk_count: int


@dataclass(frozen=True)
class LedgerIndexing:
    """The indexing side of one municipality's ledger, for one engine and one way to cut."""

    connection: Connection
    municipality: str
    engine: str
    chunking_id: int
    run_id: str | None = None

    def build(self) -> LiveIndex | None:
        """Bring the live index up to date; None when it is already.

        Safe to repeat and to interrupt at any moment: the next call goes on where this one stopped,
        and two that meet share the work.

        Raises:
            ReconciliationError: See :meth:`switch`.
        """
        done = None
        while (build := self.begin()) is not None:
            try:
                while self.fill(build):
                    pass
                done = self.switch(build)
            except LeaseLostError:
                continue  # another attempt was faster: what is left is asked anew
            self.drop_retired()
        return done

    def waiting(self) -> int:
        """Count the documents by which the live version differs from what it should hold."""
        with self.connection.transaction():
            live = self._version("live")
            names = self._names(live=live[0] if live else None)
            self.connection.execute(PLAN, names)
            row = self.connection.execute(COUNT_DIFFERENCES, {"index_id": names["live"]}).fetchone()
            self.connection.execute("DROP TABLE wanted")
        return int(row[0]) if row else 0

    def begin(self) -> Build | None:
        """Settle what the next version is to hold; None when the live one holds just that.

        A build that an earlier attempt left behind is gone on with if it was to hold the same, and
        replaced otherwise.
        """
        with self.connection.transaction():
            self._lock()
            live = self._version("live")
            names = self._names(live=live[0] if live else None)
            self.connection.execute(PLAN, names)
            left = self._version("building")
            if left and not self._differs(left[0]):
                return self._begun(*left, names["live"])
            if left:
                self._give_up(*left)
            # A town without documents has no index rather than an empty one.
            if not self._differs(live[0] if live else None):
                return None
            return self._new_version(live[1] if live else None, names)

    def fill(self, build: Build, limit: int = FILL_CHUNKS) -> bool:
        """Add the entries of some more documents; False when none is left.

        A document is never split; ``limit`` is passed by at most one document's chunks.

        Raises:
            LeaseLostError: Another attempt finished or replaced this build.
        """
        names = self._names(
            index_id=build.index_id, base_id=build.base_id, live=build.live_id, limit=limit
        )
        with self.connection.transaction():
            self._hold(build)
            row = self.connection.execute(NEXT_DOCUMENTS, names).fetchone()
            if row is None or row[0] is None:
                return False
            names["documents"] = row[0]
            self.connection.execute(FILL, names)
            self.connection.execute(
                "UPDATE index_document SET is_filled = true WHERE index_id = %(index_id)s"
                " AND document_id = ANY(%(documents)s)",
                names,
            )
            return True

    def switch(self, build: Build) -> LiveIndex:
        """Check a filled version and let it answer from now on, in one transaction.

        Raises:
            LeaseLostError: Another attempt finished or replaced this build.
            ReconciliationError: A document has more or fewer entries than chunks; the live version
                goes on answering, and the next build begins anew.
        """
        try:
            return self._switch(build)
        except ReconciliationError:
            with self.connection.transaction():
                self._hold(build)
                self._give_up(build.index_id, build.base_id)
            raise

    def live(self) -> LiveIndex | None:
        """Return the version that answers, if there is one."""
        row = self.connection.execute(
            "SELECT index_id, document_count, chunk_count FROM index_version"
            " WHERE municipality = %s AND engine = %s AND state = 'live'",
            (self.municipality, self.engine),
        ).fetchone()
        return LiveIndex(*row) if row else None

    def drop_retired(self, keep: int = KEEP_RETIRED) -> int:
        """Remove what only old versions hold and return how many versions went.

        Their rows stay as history, in the state ``dropped``.
        """
        with self.connection.transaction():
            self._lock()
            rows = self.connection.execute(
                "SELECT index_id, base_id, retired_at < now() - make_interval(secs => %s)"
                " FROM index_version WHERE municipality = %s AND engine = %s"
                " AND state IN ('live', 'retired') ORDER BY index_id DESC",
                (KEEP_S, self.municipality, self.engine),
            ).fetchall()
            old = [index_id for index_id, _, is_old in rows[keep + 1 :] if is_old]
            if not old:
                return 0
            floor, base_id, _ = rows[-len(old) - 1]
            names = {"old": old, "floor": floor, "base_id": base_id}
            self.connection.execute(
                "DELETE FROM index_entry WHERE base_id = %(base_id)s AND removed_in <= %(floor)s",
                names,
            )
            self.connection.execute(FOLD_TERMS, names)
            self.connection.execute(
                "DELETE FROM index_document WHERE index_id = ANY(%(old)s)", names
            )
            return self.connection.execute(
                "UPDATE index_version SET state = 'dropped' WHERE index_id = ANY(%(old)s)", names
            ).rowcount

    def _switch(self, build: Build) -> LiveIndex:
        names = self._names(index_id=build.index_id, base_id=build.base_id, live=build.live_id)
        with self.connection.transaction():
            self._hold(build)
            self.connection.execute(RETIRE, names)
            wrong = self.connection.execute(MISCOUNTED, names).fetchall()
            if wrong:
                raise ReconciliationError(
                    f"index version {build.index_id} is not whole; (document, chunks, entries): "
                    f"{wrong}: the version before it goes on answering"
                )
            self.connection.execute(COUNT_TERMS, names)
            row = self.connection.execute(DESCRIBE, names).fetchone()
            assert row is not None  # noqa: S101 - _hold has seen the version
            self.connection.execute(
                "UPDATE index_version SET state = 'retired', retired_at = now()"
                " WHERE index_id = %(live)s",
                names,
            )
            self.connection.execute(
                "UPDATE index_version SET state = 'live', live_at = now()"
                " WHERE index_id = %(index_id)s",
                names,
            )
            live = LiveIndex(build.index_id, int(row[0]), int(row[1]))
            announce(
                self.connection,
                INDEX_LIVE,
                {
                    "municipality": self.municipality,
                    "index_id": live.index_id,
                    "document_count": live.document_count,
                    "chunk_count": live.chunk_count,
                },
            )
            return live

    def _new_version(self, base_id: int | None, names: dict[str, object]) -> Build:
        names["base_id"] = base_id
        row = self.connection.execute(
            "WITH new AS (SELECT nextval(pg_get_serial_sequence('index_version', 'index_id')) AS id)"
            " INSERT INTO index_version (index_id, base_id, municipality, engine, chunking_id, run_id)"
            " OVERRIDING SYSTEM VALUE SELECT id, coalesce(%(base_id)s, id), %(municipality)s,"
            " %(engine)s, %(chunking_id)s, %(run_id)s FROM new RETURNING index_id, base_id",
            names,
        ).fetchone()
        assert row is not None  # noqa: S101 - an INSERT without a WHERE returns its row
        self.connection.execute(
            "INSERT INTO index_document (index_id, document_id, text_hash, chunking_id, chunk_count,"
            " is_new, is_filled) SELECT %s, document_id, text_hash, chunking_id, chunk_count, is_new,"
            " NOT is_new FROM wanted",
            (row[0],),
        )
        return self._begun(row[0], row[1], names["live"])

    def _begun(self, index_id: int, base_id: int, live_id: object) -> Build:
        row = self.connection.execute(
            "SELECT count(*) FROM index_document WHERE index_id = %s AND is_new", (index_id,)
        ).fetchone()
        return Build(
            index_id,
            base_id,
            live_id if isinstance(live_id, int) else None,
            int(row[0]) if row else 0,
        )

    def _give_up(self, index_id: int, base_id: int) -> None:
        # Entries are removed by the switch alone, so what the live version holds is whole.
        self.connection.execute(
            "DELETE FROM index_entry WHERE base_id = %s AND added_in = %s", (base_id, index_id)
        )
        self.connection.execute("DELETE FROM index_document WHERE index_id = %s", (index_id,))
        self.connection.execute(
            "UPDATE index_version SET state = 'failed' WHERE index_id = %s", (index_id,)
        )

    def _differs(self, index_id: int | None) -> bool:
        row = self.connection.execute(DIFFERS, {"index_id": index_id}).fetchone()
        return bool(row and row[0])

    def _version(self, state: str) -> tuple[int, int] | None:
        row = self.connection.execute(
            "SELECT index_id, base_id FROM index_version"
            " WHERE municipality = %s AND engine = %s AND state = %s",
            (self.municipality, self.engine, state),
        ).fetchone()
        return (int(row[0]), int(row[1])) if row else None

    def _hold(self, build: Build) -> None:
        self._lock()
        if self._version("building") != (build.index_id, build.base_id):
            raise LeaseLostError(
                f"index version {build.index_id} was finished or replaced by another attempt"
            )

    def _lock(self) -> None:
        # Held to the end of the transaction: steps of two attempts take turns.
        hold(self.connection, index_lock(self.municipality, self.engine))

    def _names(self, **more: object) -> dict[str, object]:
        return {
            "municipality": self.municipality,
            "engine": self.engine,
            "chunking_id": self.chunking_id,
            "run_id": self.run_id,
            **more,
        }
