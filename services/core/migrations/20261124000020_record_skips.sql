-- migrate:up

-- Records that an operator has given up, and why: every fold of the log passes them over. Not a
-- read model: it can't be folded from the log, so no rebuild may lose it.
create table control.skipped_records (
    topic          text not null,
    partition      integer not null,
    record_offset  bigint not null,
    stream_key     text not null collate "C",
    sequence_after bigint not null check (sequence_after >= 0),
    fault          text not null,
    reason         text not null,
    skipped_by     text not null,
    skipped_at     timestamptz not null default now(),
    headers        json not null,
    value          bytea,
    primary key (topic, partition, record_offset)
);
create index skipped_records_by_stream on control.skipped_records (topic, stream_key);

-- migrate:down
drop table control.skipped_records;
