"""kreuzberg: its extraction and its chunks; it has no store, so COPY puts them into a table."""

# ruff: noqa: PLC0415 - its libraries are loaded after the fork: their threads do not come along

from pathlib import Path

from bench.peers import hashed, team


def member(task: team.Task) -> team.TakeFile:
    """Open the database and make the configuration."""
    import kreuzberg
    import psycopg

    connection = psycopg.connect(task.dsn)
    config = kreuzberg.ExtractionConfig(
        use_cache=False,
        chunking=kreuzberg.ChunkingConfig(max_chars=1500, max_overlap=200),
        ocr=kreuzberg.OcrConfig(backend="tesseract", language="fra") if task.ocr else None,
        disable_ocr=not task.ocr,
    )

    def take(path: Path) -> None:
        if not task.ocr and path.suffix.lower() in {".jpg", ".jpeg", ".png"}:
            return
        result = kreuzberg.extract_file_sync(str(path), config=config)
        # PostgreSQL stores no NUL.
        texts = [_text(each).replace("\0", "") for each in result.chunks or []]
        with (
            connection.transaction(),
            connection.cursor().copy("COPY chunks (source, content, embedding) FROM STDIN") as copy,
        ):
            for text in texts:
                copy.write_row((path.name, text, str(hashed.vector(text))))

    return take


def prepare(task: team.Task) -> None:
    """Create the table once."""
    import psycopg

    with psycopg.connect(task.dsn) as connection:
        connection.execute(
            "CREATE TABLE chunks (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,"
            f" source text, content text NOT NULL, embedding vector({hashed.DIMENSIONS}))"
        )


def _text(chunk: object) -> str:
    return str(chunk["content"] if isinstance(chunk, dict) else getattr(chunk, "content"))  # noqa: B009 - of no known type


if __name__ == "__main__":
    team.run(team.asked(), member, prepare=prepare)
