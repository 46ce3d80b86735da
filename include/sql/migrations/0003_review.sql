-- What a person is asked and answers, who may answer what, and how a refusal is contested.

ALTER TABLE decision
    ADD COLUMN kind text NOT NULL DEFAULT 'case' CHECK (kind IN ('case', 'escalation', 'appeal')),
    ADD COLUMN decided_by_id text CHECK (decided_by_id <> ''),
    ADD COLUMN supersedes bigint REFERENCES decision,
    ADD COLUMN sentence text NOT NULL DEFAULT '' CHECK (length(sentence) <= 600),
    ADD COLUMN note text NOT NULL DEFAULT '' CHECK (length(note) <= 1000),
    ADD COLUMN machine jsonb,
    ADD COLUMN receipt_code text UNIQUE CHECK (receipt_code ~ '^[0-9A-Z]{4}-[0-9A-Z]{4}$'),
    ADD COLUMN dag_id text,
    ADD COLUMN run_id text,
    ADD COLUMN map_index integer;
COMMENT ON COLUMN decision.decided_by IS 'The name on record where the answer was given; decided_by_id is the login behind it. Never taken from a form.';
COMMENT ON COLUMN decision.statement IS 'The statement of reasons as the citizen receives it; sentence is the person''s own part of it, note stays inside.';
COMMENT ON COLUMN decision.machine IS 'What the machine had proposed when the person decided: decision, engine, rubric, rule, precision.';
COMMENT ON COLUMN decision.receipt_code IS 'What a citizen quotes to answer back or to contest.';

CREATE TABLE appeal (
    appeal_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    contribution_id text NOT NULL REFERENCES contribution,
    decision_id bigint NOT NULL UNIQUE REFERENCES decision,
    words text NOT NULL CHECK (length(words) BETWEEN 1 AND 4000),
    filed_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz
);
CREATE UNIQUE INDEX appeal_open ON appeal (contribution_id) WHERE closed_at IS NULL;
COMMENT ON TABLE appeal IS 'A refusal that its author contests, in the author''s words; decision_id is the contested decision.';

CREATE TABLE review_question (
    question_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    contribution_id text NOT NULL REFERENCES contribution,
    review_case_id bigint REFERENCES review_case,
    appeal_id bigint REFERENCES appeal,
    kind text NOT NULL CHECK (kind IN ('case', 'escalation', 'appeal')),
    waiting_since timestamptz NOT NULL,
    dag_id text NOT NULL,
    run_id text NOT NULL,
    position integer NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    claimed_until timestamptz NOT NULL,
    asked_at timestamptz,
    answer jsonb,
    answered_at timestamptz,
    fault text,
    closed_at timestamptz,
    closed_as text CHECK (closed_as IN ('decided', 'returned', 'overtaken', 'died')),
    UNIQUE (dag_id, run_id, position),
    CHECK ((kind = 'appeal') = (appeal_id IS NOT NULL)),
    CHECK ((answer IS NULL) = (answered_at IS NULL)),
    CHECK ((closed_at IS NULL) = (closed_as IS NULL)),
    CHECK ((closed_as = 'returned') IS NOT TRUE OR fault IS NOT NULL)
);
-- Nobody is asked the same thing twice at once, however many runs claim.
CREATE UNIQUE INDEX review_question_open ON review_question (contribution_id) WHERE closed_at IS NULL;
CREATE INDEX review_question_story ON review_question (contribution_id, question_id);
COMMENT ON TABLE review_question IS 'A question in Airflow''s Required Actions; dag, run and position name the instance of `ask` that holds it.';
COMMENT ON COLUMN review_question.claimed_until IS 'Until then it is not looked for in Airflow; afterwards a question that is not there has died and is asked again.';
COMMENT ON COLUMN review_question.answer IS 'A person''s answer that passed the checks and waits to be recorded as a decision.';
COMMENT ON COLUMN review_question.fault IS 'returned: why the answer did not count, as the next question says it.';

ALTER TABLE decision ADD COLUMN question_id bigint UNIQUE REFERENCES review_question;
COMMENT ON COLUMN decision.question_id IS 'The question that it answers; an answer recorded twice is one decision.';

CREATE TABLE labelled_sample (
    labelled_sample_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    municipality text NOT NULL,
    contribution_id text NOT NULL REFERENCES contribution,
    decision_id bigint NOT NULL UNIQUE REFERENCES decision,
    expected_decision text NOT NULL CHECK (expected_decision IN ('accept', 'refusal_proposed')),
    reason text NOT NULL,
    machine_decision text NOT NULL,
    engine text NOT NULL,
    rubric_version text NOT NULL,
    overruled boolean NOT NULL,
    provenance text NOT NULL CHECK (provenance <> ''),
    labelled_at timestamptz NOT NULL DEFAULT now(),
    superseded_at timestamptz
);
CREATE UNIQUE INDEX labelled_sample_standing ON labelled_sample (contribution_id)
    WHERE superseded_at IS NULL;
COMMENT ON TABLE labelled_sample IS 'What a person answered where a machine had judged. The citizen''s words stay in contribution; never a machine''s own answer.';
COMMENT ON COLUMN labelled_sample.overruled IS 'The machine had proposed the opposite.';

-- Nobody judges their own decision: a second look is another person's.
CREATE FUNCTION another_person() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM participation.decision d
               WHERE d.contribution_id = NEW.contribution_id
                 AND (lower(d.decided_by) = lower(NEW.decided_by)
                      OR d.decided_by_id = NEW.decided_by_id)) THEN
        RAISE EXCEPTION 'contribution %: % decided on it before; a second look needs another person',
            NEW.contribution_id, NEW.decided_by USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER decision_another_person BEFORE INSERT ON decision
    FOR EACH ROW WHEN (NEW.kind IN ('escalation', 'appeal')) EXECUTE FUNCTION another_person();

-- Whoever decides, by a question or otherwise: what it settles is asked no longer, and what a person said
-- before is no sample any more.
CREATE FUNCTION close_questions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE participation.review_question
    SET closed_at = now(),
        closed_as = CASE WHEN question_id = NEW.question_id THEN 'decided' ELSE 'overtaken' END
    WHERE contribution_id = NEW.contribution_id AND closed_at IS NULL;
    IF NEW.kind = 'appeal' AND NEW.reason <> 'escalate' THEN
        UPDATE participation.appeal SET closed_at = now()
        WHERE contribution_id = NEW.contribution_id AND closed_at IS NULL;
    END IF;
    UPDATE participation.labelled_sample SET superseded_at = now()
    WHERE contribution_id = NEW.contribution_id AND superseded_at IS NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER decision_closes_questions AFTER INSERT ON decision
    FOR EACH ROW EXECUTE FUNCTION close_questions();

-- Texts that speak of a group of people must not wait longer than others; this tells them apart.
CREATE FUNCTION names_group(validation jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(validation ->> 'review_reason' = 'mention_de_groupe', false)
        OR coalesce(validation @? '$.evidence[*].rule ? (@ like_regex "groupe|^discrimination")', false)
$$;
