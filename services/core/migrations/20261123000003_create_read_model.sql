-- migrate:up
create schema read_model;

-- Every row carries the sequence of the last event folded into it; it never goes back.
create table read_model.influencers (
    organization_id uuid not null,
    influencer_id   text not null collate "C",
    project_id      uuid not null,
    status          text not null,
    sequence        bigint not null check (sequence > 0),
    created_at      timestamptz not null,
    state           jsonb not null,
    primary key (organization_id, influencer_id)
) with (fillfactor = 80);
create index influencers_of_project on read_model.influencers
    (organization_id, project_id, created_at desc, influencer_id desc) where status <> 'deleted';
create index influencers_of_project_by_status on read_model.influencers
    (organization_id, project_id, status, created_at desc, influencer_id desc) where status <> 'deleted';

create table read_model.jobs (
    job_id          text primary key collate "C",
    organization_id uuid not null,
    project_id      uuid not null,
    influencer_id   text not null collate "C",
    stream_id       text not null collate "C",
    kind            text not null,
    status          text not null,
    sequence        bigint not null check (sequence > 0),
    created_at      timestamptz not null,
    state           jsonb not null
) with (fillfactor = 80);
create index jobs_of_organization on read_model.jobs (organization_id, created_at desc, job_id desc);
create index jobs_running on read_model.jobs (organization_id) where status = 'running';
create index jobs_of_content on read_model.jobs (organization_id, stream_id) where kind = 'content_generate';

-- A state is a few kB of digests and URLs, written anew with every event: compressing it costs more
-- than it saves.
alter table read_model.influencers alter column state set storage external;
alter table read_model.influencers set (toast_tuple_target = 8160);
alter table read_model.jobs alter column state set storage external;
alter table read_model.jobs set (toast_tuple_target = 8160);

-- Every event of every stream, as it is on the log, and where on the log it is.
create table read_model.events (
    organization_id uuid not null,
    stream_id       text not null collate "C",
    sequence        bigint not null check (sequence > 0),
    topic           text not null collate "C",
    partition       integer not null,
    record_offset   bigint not null,
    event_id        text not null collate "C",
    type            text not null,
    version         smallint not null,
    project_id      uuid not null,
    occurred_at     timestamptz not null,
    source          text not null,
    correlation_id  text not null,
    causation_id    text not null,
    traceparent     text not null,
    data            json not null,
    primary key (organization_id, stream_id, sequence)
);
create index events_by_place on read_model.events (organization_id, topic, partition, record_offset);

create table read_model.media_assets (
    organization_id uuid not null,
    asset_id        text not null collate "C",
    project_id      uuid not null,
    influencer_id   text collate "C",
    created_at      timestamptz not null,
    state           jsonb not null,
    primary key (organization_id, asset_id)
);

-- next_offset moves by compare-and-set in the transaction of the rows: exactly once, zombies fail.
create table read_model.projection_offsets (
    topic       text not null,
    partition   integer not null,
    next_offset bigint not null check (next_offset >= 0),
    updated_at  timestamptz not null default now(),
    primary key (topic, partition)
);

-- Streams that met an event which could not be applied: that event and all later ones, in order.
create table read_model.quarantine (
    topic           text not null,
    partition       integer not null,
    record_offset   bigint not null,
    stream_key      text not null collate "C",
    reason          text not null,
    headers         json not null,
    value           bytea,
    quarantined_at  timestamptz not null default now(),
    primary key (topic, partition, record_offset)
);
create index quarantine_by_stream on read_model.quarantine (topic, stream_key, record_offset);

-- migrate:down
drop schema read_model cascade;
