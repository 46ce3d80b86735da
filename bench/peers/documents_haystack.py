"""Haystack: its converters, its recursive splitter and its writer, in one of its pipelines each."""

# ruff: noqa: PLC0415 - its libraries are loaded after the fork: their threads do not come along

from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.peers import hashed, team


def member(task: team.Task) -> team.TakeFile:
    """Build a pipeline per kind of file, all into one store."""
    from haystack import Pipeline
    from haystack.components.converters import (
        DOCXToDocument,
        HTMLToDocument,
        PyPDFToDocument,
        TextFileToDocument,
    )  # fmt: skip
    from haystack.components.preprocessors import RecursiveDocumentSplitter
    from haystack.components.writers import DocumentWriter
    from haystack.document_stores.types import DuplicatePolicy

    store = _store(task)

    def pipeline(converter: Any) -> Pipeline:
        made = Pipeline()
        made.add_component("convert", converter)
        splitter = RecursiveDocumentSplitter(
            split_length=1500, split_overlap=200, split_unit="char", separators=["\n\n", "\n", " "]
        )
        made.add_component("split", splitter)
        made.add_component("embed", _hashed())
        made.add_component("write", DocumentWriter(store, policy=DuplicatePolicy.OVERWRITE))
        made.connect("convert.documents", "split.documents")
        made.connect("split.documents", "embed.documents")
        made.connect("embed.documents", "write.documents")
        return made

    pipelines = {
        ".pdf": pipeline(PyPDFToDocument()),
        ".html": pipeline(HTMLToDocument()),
        ".docx": pipeline(DOCXToDocument()),
        ".md": pipeline(TextFileToDocument()),
    }

    def take(path: Path) -> None:
        if path.suffix.lower() in pipelines:
            pipelines[path.suffix.lower()].run({"convert": {"sources": [path]}})

    return take


def prepare(task: team.Task) -> None:
    """Create the table once."""
    _store(task).count_documents()


def _store(task: team.Task) -> Any:
    from haystack.utils import Secret
    from haystack_integrations.document_stores.pgvector import PgvectorDocumentStore

    return PgvectorDocumentStore(
        connection_string=Secret.from_token(task.dsn),
        embedding_dimension=hashed.DIMENSIONS,
        create_extension=False,
    )


def _hashed() -> Any:
    from haystack import Document, component

    @component
    class Hashed:
        @component.output_types(documents=list[Document])  # type: ignore[untyped-decorator]  # not here
        def run(self, documents: list[Document]) -> dict[str, list[Document]]:
            made = []
            for each in documents:
                # PostgreSQL stores no NUL, and a lone surrogate is no text.
                clean = (each.content or "").encode("utf-8", "ignore").decode().replace("\0", "")
                made.append(replace(each, content=clean, embedding=hashed.vector(clean)))
            return {"documents": made}

    return Hashed()


if __name__ == "__main__":
    team.run(team.asked(), member, prepare=prepare)
