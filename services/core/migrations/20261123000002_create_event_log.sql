-- migrate:up
create schema event_log;

-- The write side's state of each stream. The row's lock is what makes a history impossible to fork.
create table event_log.streams (
    organization_id uuid not null,
    stream_id       text not null collate "C",
    sequence        bigint not null check (sequence > 0),
    state           jsonb not null,
    primary key (organization_id, stream_id)
) with (fillfactor = 70);

-- Events that are committed but not yet on Kafka. Ids follow the order of a stream (its row is
-- locked while they are drawn), not the order of commits: never resume by "id greater than".
create table event_log.outbox (
    outbox_id  bigint generated always as identity primary key,
    event_id   text not null collate "C",
    slot       smallint not null check (slot between 0 and 255),
    topic      text not null,
    key        text not null collate "C",
    headers    json not null,
    value      bytea not null,
    created_at timestamptz not null default clock_timestamp()
);
alter table event_log.outbox set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);

create table event_log.idempotency_keys (
    organization_id uuid not null,
    scope           text not null,
    idempotency_key text not null collate "C",
    request_hash    bytea not null check (length(request_hash) = 32),
    status          smallint not null,
    headers         json not null,
    body            bytea not null,
    created_at      timestamptz not null default now(),
    primary key (organization_id, scope, idempotency_key)
);
create index idempotency_keys_by_age on event_log.idempotency_keys (created_at);

-- How many shards the outbox is divided into. Two relays that disagree would break the order.
create table event_log.relay_configuration (
    only_row    boolean primary key default true check (only_row),
    shard_count smallint not null check (shard_count between 1 and 256)
);

-- migrate:down
drop schema event_log cascade;
