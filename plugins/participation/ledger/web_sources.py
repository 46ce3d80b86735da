"""What a site said when it was read last: the marker that makes the next question short, and its waits."""

from dataclasses import dataclass

from participation.ledger.connection import Connection


@dataclass(frozen=True)
class LedgerWebSources:
    """The sites of one municipality's ledger."""

    connection: Connection
    municipality: str

    def marker(self, uri: str) -> str | None:
        """Return what was noted of the last reading that was stored."""
        row = self.connection.execute(
            "SELECT marker FROM web_source WHERE (municipality, uri) = (%s, %s)",
            (self.municipality, uri),
        ).fetchone()
        return row[0] if row else None

    def note(self, uri: str, marker: str | None) -> None:
        """Note a reading, once what it gave is stored."""
        self.connection.execute(
            "INSERT INTO web_source (municipality, uri, marker) VALUES (%s, %s, %s)"
            " ON CONFLICT (municipality, uri) DO UPDATE"
            " SET (marker, not_before, read_at) = (excluded.marker, NULL, now())",
            (self.municipality, uri, marker),
        )

    def leave_alone(self, uri: str, seconds: float) -> None:
        """Note that a site asked not to be asked for a while, by the database's clock."""
        self.connection.execute(
            "INSERT INTO web_source (municipality, uri, not_before)"
            " VALUES (%s, %s, now() + make_interval(secs => %s)) ON CONFLICT (municipality, uri)"
            " DO UPDATE SET not_before = excluded.not_before",
            (self.municipality, uri, seconds),
        )

    def wait_s(self, uri: str) -> float:
        """Return for how long a site still wants to be left alone; 0 when it may be asked."""
        row = self.connection.execute(
            "SELECT greatest(0, extract(epoch FROM not_before - now()))::float FROM web_source"
            " WHERE (municipality, uri) = (%s, %s) AND not_before IS NOT NULL",
            (self.municipality, uri),
        ).fetchone()
        return float(row[0]) if row else 0.0
