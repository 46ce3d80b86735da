-- The ledger of the contribution workflow. Truth lives here; Airflow holds dockets.
-- Runs inside the schema `participation` (search_path), in one transaction, under the migration lock.

CREATE TABLE source_file (
    file_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    municipality text NOT NULL,
    uri text NOT NULL,
    sha256 text NOT NULL,
    size_bytes bigint NOT NULL,
    form text NOT NULL,
    encoding text NOT NULL,
    record_count integer NOT NULL,
    broken_count integer NOT NULL,
    loaded_at timestamptz NOT NULL DEFAULT now()
);
-- A path may be longer than an entry of an index.
CREATE UNIQUE INDEX source_file_version ON source_file (municipality, md5(uri), sha256);
CREATE INDEX source_file_bytes ON source_file (municipality, sha256);
COMMENT ON TABLE source_file IS 'One version (uri, bytes) of a file that was read whole; records = receipts, broken = quarantine.';

CREATE TABLE load (
    load_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    municipality text NOT NULL,
    root text NOT NULL,
    run_id text,
    waiting jsonb NOT NULL DEFAULT '[]',
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
);

CREATE TABLE load_file (
    load_id bigint NOT NULL REFERENCES load,
    file_id bigint NOT NULL REFERENCES source_file,
    PRIMARY KEY (load_id, file_id)
);

CREATE TABLE contribution (
    contribution_id text PRIMARY KEY CHECK (length(contribution_id) BETWEEN 1 AND 500),
    municipality text NOT NULL,
    source text NOT NULL,
    external_id text NOT NULL CHECK (length(external_id) <= 500),
    constat_factuel text NOT NULL,
    idees_ameliorations text NOT NULL DEFAULT '',
    declared_category text CHECK (declared_category IN (
        'economie', 'logement', 'culture', 'ecologie', 'associations', 'jeunesse',
        'alimentation-bien-etre-soins')),
    -- No other language counts days beyond these; 'infinity' is a day here.
    received_on date NOT NULL CHECK (received_on BETWEEN '1990-01-01' AND '9999-12-31'),
    received_at timestamptz NOT NULL DEFAULT now(),
    content_hash text NOT NULL,
    input_hash text NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN (
        'pending', 'accepted', 'review', 'refusal_proposed', 'refused', 'quarantined')),
    state_rubric text,
    state_changed_at timestamptz NOT NULL DEFAULT now(),
    category text,
    second_category text,
    metadata jsonb NOT NULL DEFAULT '{}',
    UNIQUE (municipality, content_hash),
    -- As MAX_TEXT_CHARACTERS at the door for files.
    CONSTRAINT contribution_text_length
        CHECK (length(constat_factuel) + length(idees_ameliorations) <= 60000),
    CONSTRAINT contribution_text_characters CHECK (
        constat_factuel || idees_ameliorations !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\u007f]'),
    -- A rubric on a pending row would keep it from ever being judged.
    CONSTRAINT contribution_pending_unjudged CHECK (state <> 'pending' OR state_rubric IS NULL)
);
CREATE INDEX contribution_day ON contribution (municipality, received_on, state);
CREATE INDEX contribution_open ON contribution (received_at)
    WHERE state IN ('pending', 'review', 'refusal_proposed', 'quarantined');
COMMENT ON COLUMN contribution.received_on IS 'The source''s own date, else the day of the first receipt in Europe/Paris; never changed.';
COMMENT ON COLUMN contribution.state_rubric IS 'Rubric version whose judgement the state follows; NULL while pending or decided by a person.';

CREATE TABLE receipt (
    receipt_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    contribution_id text NOT NULL REFERENCES contribution,
    file_id bigint REFERENCES source_file,
    locator text NOT NULL,
    external_id text,
    declared_category text,
    submitted_on date,
    received_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (file_id, locator)
);
CREATE INDEX receipt_contribution ON receipt (contribution_id);
CREATE INDEX receipt_without_file ON receipt (external_id) WHERE file_id IS NULL;
COMMENT ON COLUMN receipt.declared_category IS 'As written in the form, even when it is none of the seven.';

CREATE TABLE quarantine (
    quarantine_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    municipality text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('record', 'contribution')),
    file_id bigint REFERENCES source_file,
    uri text,
    locator text NOT NULL,
    contribution_id text REFERENCES contribution,
    step text,
    rubric_version text,
    reason text NOT NULL,
    detail text NOT NULL,
    raw text NOT NULL DEFAULT '',
    received_on date NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    resolution text,
    UNIQUE (file_id, locator),
    CHECK ((kind = 'contribution') = (rubric_version IS NOT NULL))
);
CREATE INDEX quarantine_day ON quarantine (municipality, received_on);
CREATE UNIQUE INDEX quarantine_open_contribution ON quarantine (contribution_id)
    WHERE contribution_id IS NOT NULL AND resolved_at IS NULL;
COMMENT ON COLUMN quarantine.rubric_version IS 'Under which a step could not judge the contribution; it explains no state under another.';
COMMENT ON COLUMN quarantine.resolution IS 'Of the same bytes under several names, and of a file''s versions, one record stays open.';
COMMENT ON TABLE quarantine IS 'kind record: an entry of a file that never became a contribution; kind contribution: one whose state is quarantined.';

CREATE TABLE step_result (
    item_id text NOT NULL,
    step text NOT NULL,
    input_hash text NOT NULL,
    rubric_version text NOT NULL,
    output jsonb NOT NULL,
    confidence real CHECK (confidence BETWEEN 0 AND 1),
    engine text NOT NULL,
    dag_id text,
    run_id text,
    map_index integer,
    try_number integer,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (item_id, step, input_hash, rubric_version)
);
COMMENT ON TABLE step_result IS 'One effective result per item, step, input and rubric: doing it twice is doing it once.';

CREATE TABLE work_chunk (
    chunk_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    municipality text NOT NULL,
    received_on date NOT NULL,
    days date[] NOT NULL,
    settled_days date[] NOT NULL DEFAULT '{}',
    rubric_version text NOT NULL,
    dag_id text NOT NULL,
    run_id text NOT NULL,
    position integer NOT NULL,
    item_count integer NOT NULL,
    lease_token uuid,
    lease_holder text,
    claimed_until timestamptz NOT NULL,
    settled_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (dag_id, run_id, position)
);

COMMENT ON COLUMN work_chunk.days IS 'Every received day of its contributions; received_on is the first of them.';
COMMENT ON COLUMN work_chunk.settled_days IS 'Those of them on which this chunk gave a contribution its state; not what another run took over.';

CREATE TABLE claim (
    contribution_id text PRIMARY KEY REFERENCES contribution,
    chunk_id bigint NOT NULL REFERENCES work_chunk
);
CREATE INDEX claim_chunk ON claim (chunk_id, contribution_id);
COMMENT ON TABLE claim IS 'Which chunk works on a contribution; whoever claims first works, an expired claim may be taken over.';

CREATE TABLE judged_alone (
    contribution_id text NOT NULL REFERENCES contribution,
    step text NOT NULL,
    rubric_version text NOT NULL,
    begun integer NOT NULL DEFAULT 1,
    begun_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (contribution_id, step, rubric_version)
);
COMMENT ON TABLE judged_alone IS 'Begun one by one because an attempt died over their batch; a row that stays says that the process did not come back.';

CREATE TABLE review_case (
    review_case_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    contribution_id text NOT NULL REFERENCES contribution,
    input_hash text NOT NULL,
    rubric_version text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('review', 'refusal_proposed', 'quarantined')),
    reason text NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz,
    UNIQUE (contribution_id, input_hash, rubric_version)
);
CREATE UNIQUE INDEX review_case_open ON review_case (contribution_id) WHERE closed_at IS NULL;

CREATE TABLE decision (
    decision_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    contribution_id text NOT NULL REFERENCES contribution,
    review_case_id bigint REFERENCES review_case,
    outcome text NOT NULL CHECK (outcome IN ('accepted', 'refused', 'review')),
    decided_by text NOT NULL CHECK (decided_by <> ''),
    reason text NOT NULL CHECK (reason <> ''),
    statement text NOT NULL DEFAULT '',
    evidence jsonb NOT NULL DEFAULT '[]',
    decided_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX decision_contribution ON decision (contribution_id, decision_id DESC);
COMMENT ON TABLE decision IS 'A person''s answers, append-only; the latest one stands over every machine result.';

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: add a new row that supersedes the old one', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER decision_append_only BEFORE UPDATE OR DELETE ON decision
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER decision_no_truncate BEFORE TRUNCATE ON decision
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE state_change (
    change_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    contribution_id text NOT NULL,
    from_state text,
    to_state text NOT NULL,
    rubric_version text,
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX state_change_contribution ON state_change (contribution_id, change_id);
COMMENT ON TABLE state_change IS 'Append-only log of every change of a state: who or what, under which rubric, when.';
CREATE TRIGGER state_change_append_only BEFORE UPDATE OR DELETE ON state_change
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER state_change_no_truncate BEFORE TRUNCATE ON state_change
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE evaluation (
    evaluation_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    municipality text NOT NULL,
    received_on date,
    engine text NOT NULL,
    rubric_version text NOT NULL,
    sample_count integer NOT NULL,
    scores jsonb NOT NULL,
    passed boolean NOT NULL,
    dag_id text,
    run_id text,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE step_metric (
    metric_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    municipality text NOT NULL,
    step text NOT NULL,
    item text NOT NULL DEFAULT '',
    dag_id text NOT NULL,
    run_id text NOT NULL,
    task_id text NOT NULL,
    map_index integer NOT NULL DEFAULT -1,
    try_number integer NOT NULL,
    received_on date,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    status text NOT NULL DEFAULT 'running'
        CHECK (status IN ('running', 'success', 'failed', 'timeout', 'skipped')),
    duration_ms bigint,
    input_size bigint,
    output_size bigint,
    error_message text,
    UNIQUE (dag_id, run_id, task_id, map_index, try_number)
);
CREATE INDEX step_metric_day ON step_metric (municipality, received_on, step);
CREATE INDEX step_metric_open ON step_metric (started_at) WHERE status = 'running';
COMMENT ON COLUMN step_metric.input_size IS 'Items taken by this attempt; output_size counts the results it stored.';

CREATE TABLE report (
    municipality text NOT NULL,
    received_on date NOT NULL,
    html_path text NOT NULL,
    markdown_path text NOT NULL,
    figures jsonb NOT NULL,
    dag_id text,
    run_id text,
    written_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (municipality, received_on)
);

CREATE TABLE deadline_miss (
    dag_id text NOT NULL,
    run_id text NOT NULL,
    alert text NOT NULL,
    deadline_at timestamptz,
    run_state text,
    noted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (dag_id, run_id, alert)
);

CREATE TABLE outbox (
    outbox_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    topic text NOT NULL,
    emitter text,
    payload jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    announced_at timestamptz
);
CREATE INDEX outbox_unannounced ON outbox (topic, outbox_id) WHERE announced_at IS NULL;
CREATE INDEX outbox_order ON outbox (xid, outbox_id);
COMMENT ON COLUMN outbox.xid IS 'Readers go by (xid, outbox_id) below pg_snapshot_xmin, so that a slow transaction is never passed over.';

CREATE FUNCTION notify_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('participation_outbox', '');
    RETURN NULL;
END $$;
CREATE TRIGGER outbox_notify AFTER INSERT ON outbox
    FOR EACH STATEMENT EXECUTE FUNCTION notify_outbox();

-- Rows announce themselves, whoever inserts them: our loader names itself in participation.emitter and
-- announces its own days, any other service needs to know nothing of the outbox.
CREATE FUNCTION announce_contributions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO participation.outbox (topic, emitter, payload)
    SELECT 'contributions_received', nullif(current_setting('participation.emitter', true), ''),
           jsonb_build_object('municipality', municipality, 'received_on', received_on,
                              'count', count(*))
    FROM inserted GROUP BY municipality, received_on ORDER BY received_on;
    IF coalesce(current_setting('participation.emitter', true), '') = '' THEN
        INSERT INTO participation.receipt (contribution_id, locator, external_id, declared_category)
        SELECT contribution_id, 'inserted', external_id, declared_category FROM inserted;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER contribution_announce AFTER INSERT ON contribution
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION announce_contributions();

-- A service that inserts a text need not know our hashes, and those it gives are not believed: the same
-- text would come twice under two of them. The white space is that of Python's str.split,
-- so that both sides call the same texts identical.
CREATE FUNCTION fold(body text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT btrim(regexp_replace(normalize(body, NFC),
        '[\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+',
        ' ', 'g'), ' ')
$$;
CREATE FUNCTION fill_hashes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.content_hash := encode(sha256(convert_to(
        participation.fold(NEW.constat_factuel) || E'\x1f'
        || participation.fold(NEW.idees_ameliorations), 'UTF8')), 'hex');
    NEW.input_hash := left(encode(sha256(convert_to(
        NEW.constat_factuel || E'\x1f' || NEW.idees_ameliorations || E'\x1f'
        || coalesce(NEW.declared_category, ''), 'UTF8')), 'hex'), 32);
    RETURN NEW;
END $$;
CREATE TRIGGER contribution_fill_hashes BEFORE INSERT ON contribution
    FOR EACH ROW WHEN (coalesce(current_setting('participation.emitter', true), '') = ''
                       OR NEW.content_hash IS NULL OR NEW.input_hash IS NULL)
    EXECUTE FUNCTION fill_hashes();

-- Law 1 at the lowest level: a state comes from a judgement or a person, never with the text. A rubric
-- on a new row would keep it from ever being judged.
CREATE FUNCTION refuse_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'contribution %: a new contribution is pending, it cannot arrive as % (rubric %): '
        'leave state and state_rubric out', NEW.contribution_id, NEW.state,
        coalesce(NEW.state_rubric, 'none') USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER contribution_starts_pending BEFORE INSERT ON contribution
    FOR EACH ROW WHEN (NEW.state <> 'pending' OR NEW.state_rubric IS NOT NULL)
    EXECUTE FUNCTION refuse_state();

-- Law 4 at the lowest level: once a person decided, only a person's decision moves the state.
CREATE FUNCTION keep_decision() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    standing text;
BEGIN
    SELECT outcome INTO standing FROM participation.decision
    WHERE contribution_id = NEW.contribution_id ORDER BY decision_id DESC LIMIT 1;
    IF standing IS NOT NULL AND NEW.state <> standing THEN
        RAISE EXCEPTION 'contribution % was decided by a person (%): a machine may not make it %',
            NEW.contribution_id, standing, NEW.state USING ERRCODE = 'restrict_violation';
    END IF;
    IF standing IS NULL AND NEW.state = 'refused' THEN
        RAISE EXCEPTION 'contribution %: only a person refuses', NEW.contribution_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER contribution_keep_decision BEFORE UPDATE OF state ON contribution
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION keep_decision();

-- ... and its decision moves the state at once, whoever writes it and whatever the machine does meanwhile.
CREATE FUNCTION follow_decision() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before text;
BEGIN
    SELECT state INTO before FROM participation.contribution
    WHERE contribution_id = NEW.contribution_id FOR UPDATE;
    -- Of several decisions in one statement the last one stands.
    IF EXISTS (SELECT FROM participation.decision
               WHERE contribution_id = NEW.contribution_id AND decision_id > NEW.decision_id) THEN
        RETURN NULL;
    END IF;
    UPDATE participation.contribution
    SET state = NEW.outcome, state_rubric = NULL, state_changed_at = now()
    WHERE contribution_id = NEW.contribution_id;
    IF before <> NEW.outcome THEN
        INSERT INTO participation.state_change (contribution_id, from_state, to_state, changed_by)
        VALUES (NEW.contribution_id, before, NEW.outcome, NEW.decided_by);
    END IF;
    UPDATE participation.quarantine SET resolved_at = now(), resolution = 'decided by a person'
    WHERE contribution_id = NEW.contribution_id AND resolved_at IS NULL;
    IF NEW.outcome <> 'review' THEN
        UPDATE participation.review_case SET closed_at = now()
        WHERE contribution_id = NEW.contribution_id AND closed_at IS NULL;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER decision_moves_state AFTER INSERT ON decision
    FOR EACH ROW EXECUTE FUNCTION follow_decision();

-- Law 7: what a citizen wrote, and the day it came, never change.
CREATE FUNCTION keep_original() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'contribution %: a citizen''s words and the day they came are kept as received; '
        'a corrected text is a contribution of its own', OLD.contribution_id
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER contribution_keep_original BEFORE UPDATE OF
    constat_factuel, idees_ameliorations, content_hash, input_hash, received_on, municipality
    ON contribution FOR EACH ROW EXECUTE FUNCTION keep_original();
