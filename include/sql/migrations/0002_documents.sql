-- The ledger of the document workflow: bytes, pages, chunks, vectors, index versions, datasets.
-- Needs pgvector, which an administrator creates (it is no trusted extension).

CREATE TABLE document (
    document_id text PRIMARY KEY CHECK (document_id ~ '^[0-9a-f]{64}$'),
    municipality text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('document', 'image', 'video')),
    media text NOT NULL,
    size_bytes bigint NOT NULL,
    stored_path text NOT NULL,
    parser_version text,
    title text,
    language text,
    dated_on date,
    act_kind text,
    act_number text,
    page_count integer,
    pages_read integer,
    pages_ocr integer,
    pages_set_aside integer,
    character_count bigint,
    warnings jsonb NOT NULL DEFAULT '[]',
    metadata jsonb NOT NULL DEFAULT '{}',
    duplicate_of text REFERENCES document,
    similarity real,
    received_at timestamptz NOT NULL DEFAULT now(),
    parsed_at timestamptz,
    CHECK (page_count = pages_read + pages_set_aside)
);
COMMENT ON TABLE document IS 'One row per distinct bytes; the id is their SHA-256. page_count = pages_read + pages_set_aside, pages_ocr are among those read.';
COMMENT ON COLUMN document.duplicate_of IS 'Nearly the same text as this older document; marked, never deleted.';

CREATE TABLE document_origin (
    origin_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    municipality text NOT NULL,
    uri text NOT NULL,
    document_id text REFERENCES document,
    source text NOT NULL,
    etag text,
    last_modified text,
    metadata jsonb NOT NULL DEFAULT '{}',
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    superseded_at timestamptz
);
CREATE UNIQUE INDEX document_origin_current ON document_origin (municipality, uri)
    WHERE superseded_at IS NULL;
CREATE INDEX document_origin_document ON document_origin (document_id);
COMMENT ON TABLE document_origin IS 'Where bytes were met. A changed file is a new row and the old one is superseded, never removed.';

CREATE TABLE document_set_aside (
    set_aside_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    municipality text NOT NULL,
    uri text NOT NULL,
    document_id text,
    step text NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    run_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    resolution text
);
CREATE UNIQUE INDEX document_set_aside_open ON document_set_aside (municipality, uri, step)
    WHERE resolved_at IS NULL;

CREATE TABLE page (
    document_id text NOT NULL REFERENCES document,
    page_number integer NOT NULL CHECK (page_number > 0),
    method text NOT NULL CHECK (method IN ('text', 'ocr', 'set_aside')),
    content text NOT NULL DEFAULT '',
    confidence real CHECK (confidence BETWEEN 0 AND 1),
    rotation smallint NOT NULL DEFAULT 0,
    reason text,
    parser_version text NOT NULL,
    PRIMARY KEY (document_id, page_number),
    CHECK ((method = 'set_aside') = (reason IS NOT NULL))
);

CREATE TABLE chunking (
    chunking_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chunk_size integer NOT NULL,
    chunk_overlap integer NOT NULL,
    child_size integer NOT NULL,
    child_overlap integer NOT NULL,
    splitter_version text NOT NULL,
    UNIQUE (chunk_size, chunk_overlap, child_size, child_overlap, splitter_version)
);
COMMENT ON TABLE chunking IS 'One way to cut: sizes and overlaps in characters, and the version of the code that cuts.';

CREATE TABLE chunk (
    chunk_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    document_id text NOT NULL REFERENCES document,
    parser_version text NOT NULL,
    chunking_id bigint NOT NULL REFERENCES chunking,
    is_parent boolean NOT NULL,
    position integer NOT NULL,
    parent_id bigint REFERENCES chunk,
    content text NOT NULL,
    content_hash text NOT NULL,
    start_character integer NOT NULL,
    end_character integer NOT NULL,
    first_page integer NOT NULL,
    last_page integer NOT NULL,
    UNIQUE (document_id, parser_version, chunking_id, is_parent, position),
    CHECK (is_parent = (parent_id IS NULL)),
    CHECK (start_character < end_character AND first_page <= last_page)
);
CREATE INDEX chunk_parent ON chunk (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX chunk_content ON chunk (content_hash) WHERE NOT is_parent;

CREATE TABLE embedding_engine (
    engine text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('sparse', 'dense')),
    dimensions integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN embedding_engine.engine IS 'Name and version, such as bm25-fr-1 or the provider, model and dimensions.';

CREATE TABLE embedding (
    content_hash text NOT NULL,
    engine text NOT NULL REFERENCES embedding_engine,
    sparse sparsevec(262144),
    dense vector,
    term_count integer,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (engine, content_hash),
    CHECK ((sparse IS NULL) <> (dense IS NULL))
);
COMMENT ON TABLE embedding IS 'One vector per engine and text: the same words are never computed twice, whichever document holds them.';

CREATE TABLE index_version (
    index_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    municipality text NOT NULL,
    engine text NOT NULL REFERENCES embedding_engine,
    chunking_id bigint NOT NULL REFERENCES chunking,
    state text NOT NULL DEFAULT 'building' CHECK (state IN ('building', 'live', 'retired', 'failed')),
    document_count integer,
    chunk_count integer,
    average_length real,
    run_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    live_at timestamptz,
    retired_at timestamptz
);
CREATE UNIQUE INDEX index_version_live ON index_version (municipality, engine) WHERE state = 'live';
COMMENT ON TABLE index_version IS 'Search reads the live version only; the switch is one UPDATE in one transaction.';

CREATE TABLE index_entry (
    index_id bigint NOT NULL REFERENCES index_version ON DELETE CASCADE,
    chunk_id bigint NOT NULL REFERENCES chunk,
    document_id text NOT NULL,
    sparse sparsevec(262144),
    dense vector,
    PRIMARY KEY (index_id, chunk_id)
);

CREATE TABLE index_term (
    index_id bigint NOT NULL REFERENCES index_version ON DELETE CASCADE,
    term integer NOT NULL,
    chunk_count integer NOT NULL,
    PRIMARY KEY (index_id, term)
);
COMMENT ON TABLE index_term IS 'In how many chunks of the version a hashed term stands: the query side of BM25.';

CREATE TABLE theme (
    document_id text NOT NULL REFERENCES document,
    engine text NOT NULL,
    label text NOT NULL,
    weight real NOT NULL CHECK (weight > 0),
    PRIMARY KEY (document_id, engine, label)
);

CREATE TABLE dataset (
    dataset_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    municipality text NOT NULL,
    name text NOT NULL,
    version integer NOT NULL,
    content_hash text NOT NULL,
    example_count integer NOT NULL,
    files jsonb NOT NULL DEFAULT '{}',
    provenance jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (municipality, name, version),
    UNIQUE (municipality, name, content_hash)
);

CREATE TABLE dataset_example (
    dataset_id bigint NOT NULL REFERENCES dataset,
    position integer NOT NULL,
    split text NOT NULL CHECK (split IN ('train', 'validation', 'test')),
    document_id text,
    content jsonb NOT NULL,
    PRIMARY KEY (dataset_id, position)
);
CREATE TRIGGER dataset_immutable BEFORE UPDATE OR DELETE ON dataset
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER dataset_example_immutable BEFORE UPDATE OR DELETE ON dataset_example
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
