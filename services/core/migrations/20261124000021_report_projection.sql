-- migrate:up

-- What each projector says of itself, every few seconds, for those whose answers rest on its work.
create unlogged table control.projection_reports (
    replica     text primary key collate "C",
    state       text not null check (state in ('unknown', 'fresh', 'lagging', 'stuck')),
    events      bigint not null,
    seconds     double precision not null,
    reported_at timestamptz not null default now()
);

-- migrate:down
drop table control.projection_reports;
