-- Everything one batch of the projection writes, one statement per table. What is there already
-- stays, and so does a row that an append has moved further meanwhile.
-- Rows of influencers are locked before rows of jobs, each in the order of its key, as the append
-- does: otherwise the two could deadlock.
with history as (
    insert into read_model.events
        (organization_id, stream_id, sequence, topic, partition, record_offset, event_id, type, version,
         project_id, occurred_at, source, correlation_id, causation_id, traceparent, data)
    select * from unnest(
        $1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::int[], $6::bigint[], $7::text[], $8::text[], $9::smallint[],
        $10::uuid[], $11::timestamptz[], $12::text[], $13::text[], $14::text[], $15::text[], $16::json[])
    on conflict do nothing
    returning 1
), assets as (
    insert into read_model.media_assets
        (organization_id, asset_id, project_id, influencer_id, created_at, state)
    select * from unnest($17::uuid[], $18::text[], $19::uuid[], $20::text[], $21::timestamptz[], $22::jsonb[])
    on conflict do nothing
    returning 1
), quarantined as (
    insert into read_model.quarantine
        (topic, partition, record_offset, stream_key, reason, headers, value, repeated)
    select * from unnest($23::text[], $24::int[], $25::bigint[], $26::text[], $27::text[], $28::json[], $29::bytea[], $30::bool[])
    on conflict do nothing
), influencers as (
    insert into read_model.influencers
        (organization_id, influencer_id, project_id, status, sequence, created_at, state)
    select * from unnest($31::uuid[], $32::text[], $33::uuid[], $34::text[], $35::bigint[], $36::timestamptz[], $37::jsonb[])
        as r(organization_id, influencer_id, project_id, status, sequence, created_at, state)
    order by organization_id, influencer_id
    on conflict (organization_id, influencer_id) do update
        set status = excluded.status, sequence = excluded.sequence, state = excluded.state
        where influencers.sequence < excluded.sequence
    returning 1
), jobs as (
    insert into read_model.jobs
        (job_id, organization_id, project_id, influencer_id, stream_id, kind, status, sequence, created_at, state)
    select r.*
    from unnest($38::text[], $39::uuid[], $40::uuid[], $41::text[], $42::text[], $43::text[], $44::text[], $45::bigint[], $46::timestamptz[], $47::jsonb[])
        as r(job_id, organization_id, project_id, influencer_id, stream_id, kind, status, sequence, created_at, state)
    cross join (select count(*) from influencers) as locked_first
    order by r.job_id
    on conflict (job_id) do update
        set status = excluded.status, sequence = excluded.sequence, state = excluded.state
        where jobs.sequence < excluded.sequence
)
select (select count(*) from history) as events, (select count(*) from assets) as assets
