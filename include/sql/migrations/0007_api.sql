-- What callers of the REST API hold in their hands, and what is told to partners' addresses.

CREATE TABLE receipt_code (
    contribution_id text PRIMARY KEY REFERENCES contribution,
    code text NOT NULL UNIQUE
        CHECK (code ~ '^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$'),
    issued_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE receipt_code IS 'One per contribution, given with its first receipt and again with each later one.';

-- Two clients that send the same text at the same moment leave one receipt.
CREATE UNIQUE INDEX receipt_of_caller ON receipt (contribution_id, locator, (coalesce(external_id, '')))
    WHERE file_id IS NULL AND locator LIKE 'api/%';

CREATE TABLE webhook (
    webhook_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    municipality text NOT NULL,
    url text CHECK (length(url) <= 2000),
    sealed_secret text,
    conn_id text CHECK (conn_id ~ '^participation_webhook[a-z0-9_]*$'),
    events text[] NOT NULL CHECK (cardinality(events) > 0 AND events <@ ARRAY[
        'contribution.accepted', 'contribution.decided', 'report.published']),
    created_by text NOT NULL CHECK (created_by <> ''),
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_by text,
    ended_at timestamptz,
    CHECK ((url IS NULL) <> (conn_id IS NULL)),
    CHECK ((url IS NULL) = (sealed_secret IS NULL)),
    CHECK ((ended_at IS NULL) = (ended_by IS NULL))
);
COMMENT ON TABLE webhook IS 'Who is told what. The secret is sealed with Airflow''s Fernet key, or stands in the connection.';

CREATE TABLE webhook_event (
    event_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    position bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    municipality text NOT NULL,
    kind text NOT NULL CHECK (kind IN (
        'contribution.accepted', 'contribution.decided', 'report.published')),
    subject text NOT NULL,
    data jsonb NOT NULL,
    occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The label is given to what is accepted, and says nothing else about a text.
    CHECK (kind <> 'contribution.accepted'
           OR data - '{contribution_id,receipt,source,issueNumber,is_valid,category,confidence}'::text[]
              = '{}' AND coalesce(data -> 'is_valid' = 'true', false))
);
COMMENT ON COLUMN webhook_event.subject IS 'Events of one subject are delivered in the order of their position, one after the other.';

CREATE TABLE webhook_delivery (
    webhook_id bigint NOT NULL REFERENCES webhook,
    position bigint NOT NULL REFERENCES webhook_event (position),
    subject text NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT now(),
    last_error text,
    delivered_at timestamptz,
    dropped_at timestamptz,
    PRIMARY KEY (webhook_id, position),
    CHECK (delivered_at IS NULL OR dropped_at IS NULL),
    CHECK (dropped_at IS NULL OR last_error IS NOT NULL)
);
CREATE INDEX webhook_delivery_open ON webhook_delivery (webhook_id, position)
    WHERE delivered_at IS NULL AND dropped_at IS NULL;
CREATE INDEX webhook_delivery_turn ON webhook_delivery (webhook_id, subject, position)
    WHERE delivered_at IS NULL AND dropped_at IS NULL;

-- Whoever subscribed is owed every event from then on, in the transaction of what happened.
CREATE FUNCTION owe_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO participation.webhook_delivery (webhook_id, position, subject)
    SELECT w.webhook_id, e.position, e.subject FROM inserted e
    JOIN participation.webhook w ON w.municipality = e.municipality AND e.kind = ANY(w.events)
    WHERE w.ended_at IS NULL;
    INSERT INTO participation.outbox (topic, payload)
    SELECT 'webhook_due', jsonb_build_object('municipality', municipality, 'event_count', count(*))
    FROM inserted GROUP BY municipality;
    RETURN NULL;
END $$;
CREATE TRIGGER webhook_event_owed AFTER INSERT ON webhook_event
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION owe_deliveries();

CREATE FUNCTION is_awaited(town text, event text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM participation.webhook w
                   WHERE w.municipality = town AND w.ended_at IS NULL AND event = ANY(w.events))
$$;

-- An issue's number is given as a number, any other id as it is.
CREATE FUNCTION issue_number(external_id text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(
        to_jsonb(substring(external_id FROM '^(?:issue-)?([1-9][0-9]{0,14})$')::bigint),
        to_jsonb(external_id))
$$;

CREATE FUNCTION tell_accepted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM participation.webhook WHERE ended_at IS NULL) THEN
        INSERT INTO participation.webhook_event (municipality, kind, subject, data)
        SELECT c.municipality, 'contribution.accepted', c.contribution_id, jsonb_build_object(
            'contribution_id', c.contribution_id, 'receipt', k.code, 'source', c.source,
            'issueNumber', participation.issue_number(c.external_id), 'is_valid', true,
            'category', c.category, 'confidence', round(v.confidence::numeric, 4))
        FROM inserted s JOIN participation.contribution c USING (contribution_id)
        LEFT JOIN participation.receipt_code k USING (contribution_id)
        LEFT JOIN participation.step_result v
            ON (v.item_id, v.step, v.input_hash, v.rubric_version)
             = (c.contribution_id, 'validate', c.input_hash, c.state_rubric)
        WHERE s.to_state = 'accepted'
          AND participation.is_awaited(c.municipality, 'contribution.accepted')
        ORDER BY s.change_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER state_change_tells AFTER INSERT ON state_change
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION tell_accepted();

-- Named so that it fires after the decision moved the state.
CREATE FUNCTION tell_decided() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO participation.webhook_event (municipality, kind, subject, data)
    SELECT c.municipality, 'contribution.decided', c.contribution_id, jsonb_build_object(
        'contribution_id', c.contribution_id, 'receipt', k.code, 'source', c.source,
        'issueNumber', participation.issue_number(c.external_id),
        'outcome', NEW.outcome, 'decided_at', NEW.decided_at)
    FROM participation.contribution c LEFT JOIN participation.receipt_code k USING (contribution_id)
    WHERE c.contribution_id = NEW.contribution_id
      AND participation.is_awaited(c.municipality, 'contribution.decided');
    RETURN NULL;
END $$;
CREATE TRIGGER decision_tells AFTER INSERT ON decision
    FOR EACH ROW EXECUTE FUNCTION tell_decided();

CREATE FUNCTION tell_report() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF participation.is_awaited(NEW.municipality, 'report.published') THEN
        INSERT INTO participation.webhook_event (municipality, kind, subject, data)
        VALUES (NEW.municipality, 'report.published', 'report ' || NEW.received_on,
                jsonb_build_object('day', NEW.received_on, 'written_at', NEW.written_at,
                                   'path', '/participation/reports/' || NEW.received_on));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER report_tells AFTER INSERT OR UPDATE ON report
    FOR EACH ROW EXECUTE FUNCTION tell_report();
