-- migrate:up

-- Objects that a sweep is about to delete, or has deleted: whoever puts one of them meanwhile puts
-- it again (ADR 20).
create table event_log.condemned_objects (
    object_key   text primary key collate "C",
    condemned_at timestamptz not null
);

-- migrate:down
drop table event_log.condemned_objects;
