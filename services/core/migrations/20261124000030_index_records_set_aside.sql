-- migrate:up

-- The organization's feed over HTTP has what is on the log, also what is in quarantine or was skipped.
create index quarantine_of_organization on read_model.quarantine (split_part(stream_key, '/', 1));
create index skipped_records_of_organization on control.skipped_records (split_part(stream_key, '/', 1));

-- migrate:down
drop index control.skipped_records_of_organization;
drop index read_model.quarantine_of_organization;
