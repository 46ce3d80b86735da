-- How runs ended, and what operators are told by mail or webhook: a late run, a failed one.

CREATE TABLE run_outcome (
    dag_id text NOT NULL,
    run_id text NOT NULL,
    state text NOT NULL CHECK (state IN ('success', 'failed')),
    reason text NOT NULL DEFAULT '',
    started_at timestamptz,
    ended_at timestamptz NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (dag_id, run_id, ended_at)
);
CREATE INDEX run_outcome_newest ON run_outcome (ended_at DESC);
COMMENT ON TABLE run_outcome IS 'One row each time a run ended: a run that was cleared ends again.';

CREATE TABLE alert (
    alert_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    municipality text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('run.failed', 'run.late')),
    dag_id text NOT NULL,
    run_id text NOT NULL,
    message text NOT NULL,
    occurred_at timestamptz NOT NULL DEFAULT now(),
    is_mailed boolean NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT now(),
    last_error text,
    mailed_at timestamptz,
    dropped_at timestamptz,
    CHECK (mailed_at IS NULL OR dropped_at IS NULL),
    CHECK (is_mailed OR mailed_at IS NULL)
);
CREATE INDEX alert_due ON alert (due_at) WHERE is_mailed AND mailed_at IS NULL AND dropped_at IS NULL;
COMMENT ON COLUMN alert.is_mailed IS 'Whether somebody was named for mail when it happened: naming one later sends no old alerts.';

ALTER TABLE webhook DROP CONSTRAINT webhook_events_check;
ALTER TABLE webhook ADD CONSTRAINT webhook_events_check CHECK (cardinality(events) > 0 AND events <@ ARRAY[
    'contribution.accepted', 'contribution.decided', 'report.published', 'run.failed', 'run.late']);
ALTER TABLE webhook_event DROP CONSTRAINT webhook_event_kind_check;
ALTER TABLE webhook_event ADD CONSTRAINT webhook_event_kind_check CHECK (kind IN (
    'contribution.accepted', 'contribution.decided', 'report.published', 'run.failed', 'run.late'));

CREATE FUNCTION tell_alert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF participation.is_awaited(NEW.municipality, NEW.kind) THEN
        INSERT INTO participation.webhook_event (municipality, kind, subject, data, occurred_at)
        VALUES (NEW.municipality, NEW.kind, 'run ' || NEW.dag_id,
                jsonb_build_object('dag_id', NEW.dag_id, 'run_id', NEW.run_id, 'message', NEW.message),
                NEW.occurred_at);
    END IF;
    IF NEW.is_mailed THEN
        INSERT INTO participation.outbox (topic, payload) VALUES (
            'webhook_due', jsonb_build_object('municipality', NEW.municipality, 'event_count', 1));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER alert_tells AFTER INSERT ON alert FOR EACH ROW EXECUTE FUNCTION tell_alert();
