-- How an engine is held against labelled samples: what was asked, what it answered, what came of it.

CREATE TABLE evaluation_round (
    round_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    municipality text NOT NULL,
    dag_id text NOT NULL,
    run_id text NOT NULL,
    engine text NOT NULL,
    rubric_version text NOT NULL,
    samples_hash text NOT NULL,
    sample_ids jsonb NOT NULL,
    noise_levels jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (dag_id, run_id)
);
COMMENT ON TABLE evaluation_round IS 'The samples of one run, fixed before the engine is asked: what a person decides meanwhile counts in the next one.';
COMMENT ON COLUMN evaluation_round.samples_hash IS 'Of the project''s own samples, words and labels.';

CREATE TABLE sample_answer (
    municipality text NOT NULL,
    sample_id text NOT NULL,
    variant text NOT NULL,
    input_hash text NOT NULL,
    rubric_version text NOT NULL,
    engine text NOT NULL,
    output jsonb NOT NULL DEFAULT '{}',
    error text,
    took_ms real CHECK (took_ms >= 0),
    cost double precision CHECK (cost >= 0),
    dag_id text NOT NULL,
    run_id text NOT NULL,
    map_index integer,
    try_number integer,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (municipality, sample_id, variant, input_hash, rubric_version)
);
COMMENT ON TABLE sample_answer IS 'What an engine answered about a labelled sample: one row per sample, variant, text and rubric. A failed one (error) counts against it; another run asks again.';
COMMENT ON COLUMN sample_answer.variant IS 'plain; unaided (the declared category hidden); noise_N (N percent of the characters spoiled).';

ALTER TABLE evaluation
    ADD COLUMN details jsonb,
    ADD COLUMN bars jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN reasons jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN page_path text;
-- A run that scores twice has scored once; the chain's short evaluations have no details.
CREATE UNIQUE INDEX evaluation_of_run ON evaluation (dag_id, run_id) WHERE details IS NOT NULL;
CREATE INDEX evaluation_newest ON evaluation (municipality, created_at DESC);
COMMENT ON COLUMN evaluation.reasons IS 'Every bar that was missed. An evaluation that no gate has judged has not passed.';
COMMENT ON COLUMN evaluation.details IS 'What its page shows besides the scores; no citizen''s words, those stay in contribution.';

CREATE TABLE evaluation_publication (
    evaluation_id bigint NOT NULL REFERENCES evaluation,
    target text NOT NULL,
    sent_count integer NOT NULL DEFAULT 0,
    warning text,
    begun_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz,
    PRIMARY KEY (evaluation_id, target)
);
COMMENT ON TABLE evaluation_publication IS 'How far an evaluation was sent elsewhere; a run goes on after sent_count.';
