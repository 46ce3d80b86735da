-- What the pages ask for first, found without reading the whole table.

CREATE INDEX contribution_listed ON contribution
    (municipality, received_on DESC, received_at DESC, contribution_id DESC);
COMMENT ON INDEX contribution_listed IS 'The order of the list of contributions: a page is found by its place.';

CREATE INDEX quarantine_listed ON quarantine (municipality, quarantine_id DESC) WHERE resolved_at IS NULL;
CREATE INDEX quarantine_of_contribution ON quarantine (contribution_id) WHERE contribution_id IS NOT NULL;

CREATE INDEX step_metric_newest ON step_metric (dag_id, metric_id DESC);
