"""LangChain: loaders, its recursive splitter, and its store for PostgreSQL.

PDFs by pypdf or by PDFium, as ``BENCH_PDF`` says; scans by its Tesseract parser where asked for.
"""

# ruff: noqa: PLC0415 - its libraries are loaded after the fork: their threads do not come along

import os
from pathlib import Path
from typing import Any

from bench.peers import hashed, team

TABLE = "chunks"


def member(task: team.Task) -> team.TakeFile:
    """Open the store and choose the loaders."""
    from langchain_community.document_loaders import (
        BSHTMLLoader,
        Docx2txtLoader,
        PyPDFium2Loader,
        PyPDFLoader,
        TextLoader,
    )  # fmt: skip
    from langchain_community.document_loaders.parsers.images import TesseractBlobParser
    from langchain_core.document_loaders import Blob
    from langchain_postgres import PGEngine, PGVectorStore
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    pdf_loader: Any = PyPDFium2Loader if os.environ["BENCH_PDF"] == "pdfium" else PyPDFLoader
    images = TesseractBlobParser(langs=("fra",))
    of_images = {"extract_images": True, "images_parser": images} if task.ocr else {}

    def load(path: Path) -> Any:
        match path.suffix.lower():
            case ".pdf":
                return pdf_loader(str(path), **of_images).load()
            case ".html":
                return BSHTMLLoader(str(path), open_encoding="utf-8").load()
            case ".docx":
                return Docx2txtLoader(str(path)).load()
            case ".jpg" | ".jpeg" | ".png":
                return images.parse(Blob.from_path(str(path))) if task.ocr else []
        return TextLoader(str(path), encoding="utf-8").load()

    splitter = RecursiveCharacterTextSplitter(chunk_size=1500, chunk_overlap=200)
    engine = PGEngine.from_connection_string(task.dsn.replace("postgresql:", "postgresql+psycopg:"))
    store = PGVectorStore.create_sync(engine, embedding_service=_hashed(), table_name=TABLE)

    def take(path: Path) -> None:
        documents = load(path)
        for each in documents:
            # PostgreSQL stores no NUL, and a lone surrogate is no text.
            clean = each.page_content.encode("utf-8", "ignore").decode()
            each.page_content = clean.replace("\0", "")
        if chunks := splitter.split_documents(documents):
            store.add_documents(chunks)

    return take


def prepare(task: team.Task) -> None:
    """Create the table once."""
    from langchain_postgres import PGEngine

    engine = PGEngine.from_connection_string(task.dsn.replace("postgresql:", "postgresql+psycopg:"))
    engine.init_vectorstore_table(TABLE, hashed.DIMENSIONS)


def _hashed() -> Any:
    from langchain_core.embeddings import Embeddings

    class Hashed(Embeddings):  # type: ignore[misc]  # not installed here
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [hashed.vector(text) for text in texts]

        def embed_query(self, text: str) -> list[float]:
            return hashed.vector(text)

    return Hashed()


if __name__ == "__main__":
    team.run(team.asked(), member, prepare=prepare)
