-- Named workflows: which definitions ran, each run with its steps, and each step's result once.

CREATE TABLE workflow_definition (
    workflow text NOT NULL CHECK (length(workflow) BETWEEN 1 AND 60),
    definition_hash text NOT NULL CHECK (definition_hash ~ '^[0-9a-f]{64}$'),
    definition jsonb NOT NULL,
    first_run_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workflow, definition_hash)
);
COMMENT ON TABLE workflow_definition IS 'Every definition that a run was made by, as it was then.';
CREATE TRIGGER workflow_definition_append_only BEFORE UPDATE OR DELETE ON workflow_definition
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE workflow_run (
    workflow text NOT NULL,
    run_id text NOT NULL CHECK (length(run_id) BETWEEN 1 AND 250),
    municipality text NOT NULL,
    dag_id text NOT NULL,
    definition_hash text NOT NULL,
    input jsonb NOT NULL,
    state text NOT NULL DEFAULT 'running'
        CHECK (state IN ('running', 'done', 'done_with_warnings', 'failed')),
    warnings jsonb NOT NULL DEFAULT '[]',
    output jsonb,
    reason text,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    PRIMARY KEY (workflow, run_id),
    FOREIGN KEY (workflow, definition_hash) REFERENCES workflow_definition,
    CHECK ((state = 'running') = (ended_at IS NULL)),
    CHECK (state NOT IN ('done', 'done_with_warnings') OR output IS NOT NULL),
    CHECK ((state = 'done_with_warnings') <= (warnings <> '[]'))
);
CREATE INDEX workflow_run_latest ON workflow_run (municipality, started_at DESC, run_id DESC);
COMMENT ON COLUMN workflow_run.definition_hash IS 'Pinned by the first task: a run is made by one definition from end to end.';

CREATE TABLE workflow_step (
    workflow text NOT NULL,
    run_id text NOT NULL,
    step text NOT NULL,
    position integer NOT NULL,
    state text NOT NULL CHECK (state IN
        ('running', 'retrying', 'done', 'continued', 'failed', 'skipped', 'not_run')),
    input_hash text,
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    reason text NOT NULL DEFAULT '',
    because text[] NOT NULL DEFAULT '{}',
    error jsonb,
    started_at timestamptz,
    ended_at timestamptz,
    PRIMARY KEY (workflow, run_id, step),
    FOREIGN KEY (workflow, run_id) REFERENCES workflow_run,
    CHECK (state NOT IN ('failed', 'continued') OR error IS NOT NULL),
    CHECK (state NOT IN ('skipped', 'not_run') OR reason <> '')
);
COMMENT ON TABLE workflow_step IS 'Where each step of a run stands; work not done says why.';

CREATE TABLE workflow_step_result (
    workflow text NOT NULL,
    run_id text NOT NULL,
    step text NOT NULL,
    input_hash text NOT NULL,
    definition_hash text NOT NULL,
    output jsonb NOT NULL,
    size_bytes integer NOT NULL,
    try_number integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workflow, run_id, step, input_hash, definition_hash),
    FOREIGN KEY (workflow, run_id) REFERENCES workflow_run
);
COMMENT ON TABLE workflow_step_result IS 'One result per run, step, input and definition: doing it twice is doing it once.';
CREATE TRIGGER workflow_step_result_append_only BEFORE UPDATE OR DELETE ON workflow_step_result
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
