-- A table whose rows may not be changed cannot be emptied either: TRUNCATE asks no trigger of a row.

CREATE TRIGGER workflow_definition_no_truncate BEFORE TRUNCATE ON workflow_definition
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER workflow_step_result_no_truncate BEFORE TRUNCATE ON workflow_step_result
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER dataset_no_truncate BEFORE TRUNCATE ON dataset
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER dataset_place_no_truncate BEFORE TRUNCATE ON dataset_place
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER dataset_example_no_truncate BEFORE TRUNCATE ON dataset_example
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
