-- The ledger of the document workflow: bytes, pages, chunks, vectors, index versions, datasets.
-- Needs pgvector, which an administrator creates (it is no trusted extension).

ALTER TABLE step_metric ADD COLUMN docket jsonb;
COMMENT ON COLUMN step_metric.docket IS 'What the attempt handed on: counts and ids, at most 8 KB; a run''s page shows it.';

CREATE TABLE document (
    document_id text PRIMARY KEY CHECK (document_id ~ '^[0-9a-f]{64}$'),
    municipality text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('document', 'image', 'video')),
    media text NOT NULL,
    size_bytes bigint NOT NULL,
    stored_path text NOT NULL,
    parser_version text,
    text_hash text,
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
    received_at timestamptz NOT NULL DEFAULT now(),
    parsed_at timestamptz,
    CHECK (page_count = pages_read + pages_set_aside)
);
COMMENT ON TABLE document IS 'One row per distinct bytes; the id is their SHA-256. page_count = pages_read + pages_set_aside, pages_ocr are among those read.';
COMMENT ON COLUMN document.text_hash IS 'Of the pages'' texts: a page that OCR picked up later, or another parser, gives new chunks only where it gives other words.';

CREATE TABLE document_likeness (
    municipality text NOT NULL,
    document_id text NOT NULL REFERENCES document,
    duplicate_of text NOT NULL REFERENCES document,
    similarity real NOT NULL CHECK (similarity BETWEEN 0 AND 1),
    PRIMARY KEY (municipality, document_id)
);
CREATE INDEX document_likeness_older ON document_likeness (municipality, duplicate_of);
COMMENT ON TABLE document_likeness IS 'Nearly the same text as an older document of the town; marked, never deleted. What is a copy in one town may be the only one in another.';

CREATE TABLE document_origin (
    origin_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    municipality text NOT NULL,
    uri text NOT NULL,
    document_id text NOT NULL CHECK (document_id ~ '^[0-9a-f]{64}$'),
    source text NOT NULL,
    size_bytes bigint NOT NULL,
    stored_path text NOT NULL,
    etag text,
    last_modified text,
    metadata jsonb NOT NULL DEFAULT '{}',
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    superseded_at timestamptz
);
CREATE UNIQUE INDEX document_origin_current ON document_origin (municipality, uri, (source = 'url'))
    WHERE superseded_at IS NULL;
COMMENT ON INDEX document_origin_current IS 'The copy of a page that lies in a folder and the page itself, as fetched, stand beside each other: neither replaces the other.';
CREATE INDEX document_origin_document ON document_origin (document_id);
COMMENT ON TABLE document_origin IS 'Where bytes were met. A changed file is a new row and the old one is superseded, never removed. Bytes that could not be used have no row in document.';

CREATE TABLE document_address (
    municipality text NOT NULL,
    uri text NOT NULL,
    wanted_at timestamptz NOT NULL DEFAULT now(),
    asked_at timestamptz,
    again_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (municipality, uri)
);
COMMENT ON TABLE document_address IS 'Addresses that documents are fetched from, kept from the form on: one that did not answer, or whose turn did not come, is asked by a later run.';
COMMENT ON COLUMN document_address.wanted_at IS 'When a person asked for it or it last answered; a month later it is not asked any more.';

CREATE TABLE document_set_aside (
    set_aside_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    municipality text NOT NULL,
    uri text NOT NULL,
    document_id text,
    step text NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    version text NOT NULL DEFAULT '',
    run_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    resolution text
);
COMMENT ON COLUMN document_set_aside.version IS 'Of the code that gave up: another version tries again.';
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

CREATE INDEX page_needs_ocr ON page (document_id) WHERE reason = 'needs_ocr';

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

CREATE TABLE chunking_choice (
    municipality text PRIMARY KEY,
    chunking_id bigint NOT NULL REFERENCES chunking,
    run_id text,
    chosen_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE chunking_choice IS 'The sizes a town asked for last; without a row the defaults of the code hold.';

CREATE TABLE chunk (
    chunk_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    document_id text NOT NULL REFERENCES document,
    text_hash text NOT NULL,
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
    UNIQUE (document_id, text_hash, chunking_id, is_parent, position),
    CHECK (is_parent = (parent_id IS NULL)),
    CHECK (start_character < end_character AND first_page <= last_page)
);
CREATE INDEX chunk_parent ON chunk (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX chunk_content ON chunk (content_hash) WHERE NOT is_parent;

CREATE TABLE document_chunking (
    document_id text NOT NULL REFERENCES document,
    text_hash text NOT NULL,
    chunking_id bigint NOT NULL REFERENCES chunking,
    chunk_count integer NOT NULL,
    chunked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (document_id, text_hash, chunking_id)
);
COMMENT ON TABLE document_chunking IS 'A text that was cut, with the number of its children; 0 where no page could be read.';

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
    sparse sparsevec(262144) STORAGE main,
    terms integer[],
    heaviest real,
    dense vector,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (engine, content_hash),
    CHECK ((sparse IS NULL) <> (dense IS NULL)),
    CHECK ((sparse IS NULL) = (terms IS NULL) AND (sparse IS NULL) = (heaviest IS NULL))
);
COMMENT ON TABLE embedding IS 'One vector per engine and text: the same words are never computed twice, whichever document holds them.';
COMMENT ON COLUMN embedding.terms IS 'Indices of the non-zero entries, from 0; heaviest is the largest of their values.';

CREATE TABLE document_embedding (
    document_id text NOT NULL,
    text_hash text NOT NULL,
    chunking_id bigint NOT NULL,
    engine text NOT NULL REFERENCES embedding_engine,
    embedding_count integer NOT NULL,
    embedded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (document_id, text_hash, chunking_id, engine),
    FOREIGN KEY (document_id, text_hash, chunking_id) REFERENCES document_chunking
);
COMMENT ON TABLE document_embedding IS 'A text whose children all have a vector: ready for the index.';

CREATE TABLE index_version (
    index_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    base_id bigint NOT NULL REFERENCES index_version,
    municipality text NOT NULL,
    engine text NOT NULL REFERENCES embedding_engine,
    chunking_id bigint NOT NULL REFERENCES chunking,
    state text NOT NULL DEFAULT 'building'
        CHECK (state IN ('building', 'live', 'retired', 'failed', 'dropped')),
    document_count integer,
    chunk_count integer,
    heaviest real,
    run_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    live_at timestamptz,
    retired_at timestamptz
);
CREATE UNIQUE INDEX index_version_live ON index_version (municipality, engine) WHERE state = 'live';
CREATE UNIQUE INDEX index_version_building ON index_version (municipality, engine)
    WHERE state = 'building';
COMMENT ON TABLE index_version IS 'Search reads the live version only; the switch is one transaction. Versions of one town and engine share their entries: base_id is the first of them.';

CREATE TABLE index_document (
    index_id bigint NOT NULL REFERENCES index_version,
    document_id text NOT NULL,
    text_hash text NOT NULL,
    chunking_id bigint NOT NULL,
    chunk_count integer NOT NULL,
    is_new boolean NOT NULL,
    is_filled boolean NOT NULL,
    PRIMARY KEY (index_id, document_id)
);
COMMENT ON TABLE index_document IS 'What a version is to hold, settled when its build begins; is_new says that the version before does not hold it.';

CREATE TABLE index_entry (
    base_id bigint NOT NULL REFERENCES index_version,
    added_in bigint NOT NULL REFERENCES index_version,
    removed_in bigint REFERENCES index_version,
    chunk_id bigint NOT NULL REFERENCES chunk,
    document_id text NOT NULL,
    sparse sparsevec(262144) STORAGE main,
    terms integer[] STORAGE external,
    dense vector,
    PRIMARY KEY (base_id, chunk_id, added_in),
    CHECK (removed_in > added_in),
    CHECK ((sparse IS NULL) <> (dense IS NULL)),
    CHECK ((sparse IS NULL) = (terms IS NULL))
) WITH (toast_tuple_target = 128);
COMMENT ON TABLE index_entry IS 'In every version v with added_in <= v and not removed_in <= v. One changed document costs its own chunks, not a copy of the town''s.';
COMMENT ON COLUMN index_entry.terms IS 'Stored out of line: only the index below reads it, so that a scan of the vectors stays short.';
CREATE INDEX index_entry_terms ON index_entry USING gin (terms);
CREATE INDEX index_entry_added ON index_entry (base_id, added_in, removed_in, document_id);
CREATE INDEX index_entry_removed ON index_entry (base_id, removed_in) WHERE removed_in IS NOT NULL;

CREATE TABLE index_term (
    base_id bigint NOT NULL REFERENCES index_version,
    term integer NOT NULL,
    index_id bigint NOT NULL REFERENCES index_version,
    chunk_count integer NOT NULL,
    PRIMARY KEY (base_id, term, index_id)
);
COMMENT ON TABLE index_term IS 'By how much a version changed the number of chunks in which a hashed term stands; the sum up to a version is the query side of BM25.';

CREATE TABLE theme (
    document_id text NOT NULL REFERENCES document,
    engine text NOT NULL,
    label text NOT NULL,
    weight real NOT NULL CHECK (weight > 0),
    PRIMARY KEY (document_id, engine, label)
);

CREATE TABLE document_theme (
    document_id text NOT NULL REFERENCES document,
    engine text NOT NULL,
    text_hash text NOT NULL,
    theme_count integer NOT NULL,
    found_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (document_id, engine)
);
COMMENT ON TABLE document_theme IS 'The text whose themes stand in theme; 0 where it has none.';

CREATE TABLE town_theme (
    municipality text NOT NULL,
    engine text NOT NULL,
    label text NOT NULL,
    weight real NOT NULL CHECK (weight > 0),
    PRIMARY KEY (municipality, engine, label)
);
COMMENT ON TABLE town_theme IS 'What several documents of a town talk about; replaced whenever its themes are looked for.';

CREATE TABLE text_sketch (
    text_hash text NOT NULL,
    version integer NOT NULL,
    words_hash text NOT NULL,
    minima bytea NOT NULL,
    PRIMARY KEY (text_hash, version)
);
COMMENT ON TABLE text_sketch IS 'What near duplicates are found by; minima is empty for a text without words.';

CREATE TABLE dataset_gathering (
    municipality text NOT NULL,
    name text NOT NULL,
    made_with jsonb NOT NULL,
    gathered_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (municipality, name)
);
COMMENT ON TABLE dataset_gathering IS 'What the examples were last gathered with, whether they made a new version or not: the same again would be the same again.';

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
CREATE TABLE dataset_place (
    municipality text NOT NULL,
    name text NOT NULL,
    group_id text NOT NULL,
    split text NOT NULL CHECK (split IN ('train', 'validation', 'test')),
    dataset_id bigint NOT NULL REFERENCES dataset,
    PRIMARY KEY (municipality, name, group_id)
);
COMMENT ON TABLE dataset_place IS 'In which split a document or contribution, with its repetitions, stands since the version that met it first.';
CREATE TRIGGER dataset_place_stays BEFORE UPDATE OR DELETE ON dataset_place
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER dataset_immutable BEFORE UPDATE OR DELETE ON dataset
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER dataset_example_immutable BEFORE UPDATE OR DELETE ON dataset_example
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE dataset_publication (
    dataset_id bigint NOT NULL REFERENCES dataset,
    target text NOT NULL,
    next_position integer NOT NULL DEFAULT 0,
    sent_count integer NOT NULL DEFAULT 0,
    warning text,
    begun_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz,
    PRIMARY KEY (dataset_id, target)
);
COMMENT ON TABLE dataset_publication IS 'How far a version was sent elsewhere; a run goes on at next_position. Without published_at it is not whole there.';

CREATE TABLE document_drafting (
    document_id text NOT NULL REFERENCES document,
    text_hash text NOT NULL,
    model text NOT NULL,
    prompt_version text NOT NULL,
    draft_count integer NOT NULL,
    note text,
    run_id text,
    drafted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (document_id, text_hash, model, prompt_version)
);
COMMENT ON TABLE document_drafting IS 'A text that a model was asked for drafts; nobody pays for the same answer twice. note says why there is none, or what was dropped.';

CREATE TABLE drafted_contribution (
    drafted_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    municipality text NOT NULL,
    document_id text NOT NULL,
    text_hash text NOT NULL,
    model text NOT NULL,
    prompt_version text NOT NULL,
    is_generated boolean NOT NULL DEFAULT true CHECK (is_generated),
    theme text NOT NULL,
    constat_factuel text NOT NULL,
    idees_ameliorations text NOT NULL,
    quote text NOT NULL,
    page_number integer NOT NULL,
    run_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (document_id, text_hash, model, prompt_version) REFERENCES document_drafting
);
COMMENT ON TABLE drafted_contribution IS 'Written by a model from a document, by nobody else. No citizen''s text: nothing copies these rows into contribution, and none of them is judged, counted or reported as one.';

CREATE TABLE web_source (
    municipality text NOT NULL,
    uri text NOT NULL,
    marker text,
    not_before timestamptz,
    read_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (municipality, uri)
);
COMMENT ON TABLE web_source IS 'What a site said when contributions were last read from it, so that an unchanged one costs one request.';
COMMENT ON COLUMN web_source.marker IS 'Noted after what was read is stored: a reading that was lost is repeated.';
COMMENT ON COLUMN web_source.not_before IS 'The site asked to be left alone until then.';
