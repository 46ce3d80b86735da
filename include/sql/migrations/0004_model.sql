-- What a connected language model was asked, what it answered, what it cost, and when it is left alone.

CREATE TABLE model_answer (
    text_hash text NOT NULL,
    prompt_hash text NOT NULL,
    model text NOT NULL,
    rubric_version text NOT NULL,
    content text NOT NULL,
    ending text NOT NULL CHECK (ending IN ('answered', 'cut_off', 'declined')),
    provider text NOT NULL,
    answered_by text NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cost_eur numeric CHECK (cost_eur >= 0),
    answered_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (text_hash, prompt_hash, model, rubric_version)
);
COMMENT ON TABLE model_answer IS 'Answers as they came, kept before anything is done with them: nothing is paid for twice.';
COMMENT ON COLUMN model_answer.text_hash IS 'Of the text as it was sent, anonymised for an outside provider.';

CREATE TABLE provider_call (
    call_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    conn_id text NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    purpose text NOT NULL,
    text_hash text NOT NULL,
    called_on date NOT NULL DEFAULT (now() AT TIME ZONE 'Europe/Paris')::date,
    called_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'answered', 'failed', 'unknown')),
    charged_tokens bigint NOT NULL CHECK (charged_tokens >= 0),
    charged_eur numeric NOT NULL CHECK (charged_eur >= 0),
    answered_by text,
    input_tokens bigint,
    output_tokens bigint,
    error text,
    dag_id text,
    run_id text
);
CREATE INDEX provider_call_day ON provider_call (called_on);
CREATE INDEX provider_call_text ON provider_call (text_hash);
COMMENT ON COLUMN provider_call.charged_tokens IS 'The most a call may take while it is open or when nobody knows how it ended; what it took once it was answered.';

CREATE TABLE provider_day (
    conn_id text NOT NULL,
    called_on date NOT NULL,
    calls integer NOT NULL DEFAULT 0,
    charged_tokens bigint NOT NULL DEFAULT 0,
    charged_eur numeric NOT NULL DEFAULT 0,
    PRIMARY KEY (conn_id, called_on)
);
COMMENT ON TABLE provider_day IS 'What a connection''s budget has taken of a day; moved by the trigger alone, with each call.';

CREATE FUNCTION charge_day() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO participation.provider_day AS d
        (conn_id, called_on, calls, charged_tokens, charged_eur)
    VALUES (NEW.conn_id, NEW.called_on, (TG_OP = 'INSERT')::integer,
            NEW.charged_tokens - CASE TG_OP WHEN 'UPDATE' THEN OLD.charged_tokens ELSE 0 END,
            NEW.charged_eur - CASE TG_OP WHEN 'UPDATE' THEN OLD.charged_eur ELSE 0 END)
    ON CONFLICT (conn_id, called_on) DO UPDATE SET calls = d.calls + excluded.calls,
        charged_tokens = d.charged_tokens + excluded.charged_tokens,
        charged_eur = d.charged_eur + excluded.charged_eur;
    RETURN NULL;
END $$;
CREATE TRIGGER provider_call_charges AFTER INSERT OR UPDATE ON provider_call
    FOR EACH ROW EXECUTE FUNCTION charge_day();

CREATE TABLE provider_state (
    conn_id text PRIMARY KEY,
    failures integer NOT NULL,
    open_until timestamptz,
    probed_until timestamptz,
    reason text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE provider_state IS 'Circuit breakers: a provider without a row answers; one with open_until in the future is not asked.';
COMMENT ON COLUMN provider_state.probed_until IS 'Until then one caller finds out whether the provider is back, and the others wait for that.';

CREATE TABLE wording_suggestion (
    suggestion_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    contribution_id text NOT NULL REFERENCES contribution,
    input_hash text NOT NULL,
    prompt_hash text NOT NULL,
    suggestion text,
    objection text,
    provider text NOT NULL,
    model text NOT NULL,
    dag_id text,
    run_id text,
    suggested_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((suggestion IS NULL) <> (objection IS NULL)),
    UNIQUE (contribution_id, input_hash, prompt_hash, model)
);
COMMENT ON TABLE wording_suggestion IS 'Shown beside the citizen''s own words, never instead of them.';

ALTER TABLE work_chunk ADD COLUMN split_from bigint REFERENCES work_chunk;
CREATE INDEX work_chunk_split_from ON work_chunk (split_from) WHERE split_from IS NOT NULL;
COMMENT ON COLUMN work_chunk.split_from IS 'The chunk whose items had to be judged under another rubric: no provider answered for them.';
