-- migrate:up

-- Every rebuild of the read models and every rollback, the newest last. One is under way while
-- ended_at is null; whether a process is at it, an advisory lock tells (class 7, 1).
create table control.rebuilds (
    rebuild_id   bigint generated always as identity primary key,
    kind         text not null check (kind in ('rebuild', 'rollback')),
    only_model   text,
    fingerprint  text not null,
    phase        text not null check (phase in (
        'start', 'fill', 'merge', 'index', 'catch-up', 'compare', 'swap',
        'swapped', 'equal', 'different', 'aborted')),
    offsets_done bigint not null default 0,
    offsets_all  bigint not null default 0,
    merged       boolean not null default false,
    differences  bigint,
    started_by   text not null default session_user,
    started_at   timestamptz not null default now(),
    heard_at     timestamptz not null default now(),
    ended_at     timestamptz
);
create unique index rebuilds_under_way on control.rebuilds ((true)) where ended_at is null;

-- migrate:down
drop table control.rebuilds;
