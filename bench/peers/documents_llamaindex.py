"""LlamaIndex: its file readers, its sentence splitter and its pipeline into its store for PostgreSQL."""

# ruff: noqa: PLC0415 - its libraries are loaded after the fork: their threads do not come along

from pathlib import Path
from typing import Any

from bench.peers import hashed, team


def member(task: team.Task) -> team.TakeFile:
    """Open the store and the pipeline."""
    from llama_index.core import SimpleDirectoryReader
    from llama_index.core.ingestion import IngestionPipeline
    from llama_index.core.node_parser import SentenceSplitter
    from llama_index.readers.file import DocxReader, FlatReader, HTMLTagReader, PDFReader

    readers = {
        ".pdf": PDFReader(),
        ".html": HTMLTagReader(tag="body"),
        ".docx": DocxReader(),
        ".md": FlatReader(),
    }
    # Its sizes are in tokens; a tokenizer that gives the text itself makes them characters.
    splitter = SentenceSplitter(chunk_size=1500, chunk_overlap=200, tokenizer=str)
    pipeline = IngestionPipeline(
        transformations=[splitter, _hashed()], vector_store=_store(task), disable_cache=True
    )

    def take(path: Path) -> None:
        if path.suffix.lower() in {".jpg", ".jpeg", ".png"}:
            return
        loaded = SimpleDirectoryReader(input_files=[path], file_extractor=readers).load_data()
        for each in loaded:
            # PostgreSQL stores no NUL, and a lone surrogate is no text.
            clean = each.text.encode("utf-8", "ignore").decode().replace("\0", "")
            each.set_content(clean)
            # Else they are taken off the size of each chunk.
            each.excluded_embed_metadata_keys = each.excluded_llm_metadata_keys = list(
                each.metadata
            )
        pipeline.run(documents=loaded)

    return take


def prepare(task: team.Task) -> None:
    """Create the table once."""
    store = _store(task)
    store.client  # noqa: B018 - a property that connects
    store._initialize()  # noqa: SLF001 - it has no other way to create its table before the first row


def _store(task: team.Task) -> Any:
    from llama_index.vector_stores.postgres import PGVectorStore

    return PGVectorStore.from_params(
        connection_string=task.dsn.replace("postgresql:", "postgresql+psycopg2:"),
        async_connection_string=task.dsn.replace("postgresql:", "postgresql+asyncpg:"),
        table_name="chunks",
        embed_dim=hashed.DIMENSIONS,
        use_jsonb=True,
    )


def _hashed() -> Any:
    from llama_index.core.embeddings import BaseEmbedding

    class Hashed(BaseEmbedding):  # type: ignore[misc]  # not installed here
        def _get_text_embedding(self, text: str) -> list[float]:
            return hashed.vector(text)

        def _get_query_embedding(self, query: str) -> list[float]:
            return hashed.vector(query)

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return hashed.vector(query)

    return Hashed(embed_batch_size=256)


if __name__ == "__main__":
    team.run(team.asked(), member, prepare=prepare)
