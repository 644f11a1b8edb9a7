-- migrate:up

-- Records in quarantine that hold no stream up: the event was on the log before, and is folded.

alter table read_model.quarantine add column repeated boolean not null default false;

-- migrate:down
alter table read_model.quarantine drop column repeated;
