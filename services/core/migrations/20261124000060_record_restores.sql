-- migrate:up

-- Restores from the log. One whose ended_at is null was interrupted: what the database holds is
-- its beginning, and it may be gone on with.
create table control.restores (
    restore_id bigint generated always as identity primary key,
    started_by text not null default session_user,
    started_at timestamptz not null default now(),
    ended_at   timestamptz
);
create unique index restores_under_way on control.restores ((true)) where ended_at is null;

-- migrate:down
drop table control.restores;
