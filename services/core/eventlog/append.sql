-- Everything one append writes, one statement per table.
--
-- A claim on an idempotency key that is in use is not `claimed`; a command that rests on one writes
-- nothing. A stream that another transaction made meanwhile is a unique violation: nothing happens.
-- Rows of read models are cut from the streams' states ($22: whether they are wanted), influencers
-- before jobs, each in the order of its key, as the projector does: otherwise the two could deadlock.
with claims as (
    select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::smallint[], $7::json[], $8::bytea[])
        as c(organization_id, stream_id, scope, idempotency_key, request_hash, status, headers, body)
), claimed as (
    insert into event_log.idempotency_keys as k
        (organization_id, scope, idempotency_key, request_hash, status, headers, body)
    select organization_id, scope, idempotency_key, request_hash, status, headers, body
    from claims order by organization_id, scope, idempotency_key
    on conflict (organization_id, scope, idempotency_key) do update
        set request_hash = excluded.request_hash, status = excluded.status,
            headers = excluded.headers, body = excluded.body, created_at = excluded.created_at
        where k.created_at <= now() - interval '24 hours'
    returning organization_id, scope, idempotency_key
), lost as (
    select organization_id, stream_id, scope, idempotency_key
    from claims left join claimed k using (organization_id, scope, idempotency_key)
    where k.scope is null
), input as (
    select * from unnest($9::uuid[], $10::text[], $11::bigint[], $12::bigint[], $13::jsonb[])
        as t(organization_id, stream_id, found_at, sequence, state)
    where not exists (
        select from lost
        where lost.organization_id = t.organization_id and lost.stream_id = t.stream_id
    )
), created as (
    insert into event_log.streams (organization_id, stream_id, sequence, state)
    select organization_id, stream_id, sequence, state from input where found_at = 0
    order by organization_id, stream_id
    returning organization_id, stream_id, sequence, state
), advanced as (
    update event_log.streams s set sequence = i.sequence, state = i.state
    from input i
    where i.found_at > 0 and s.organization_id = i.organization_id and s.stream_id = i.stream_id
      and s.sequence = i.found_at
    returning s.organization_id, s.stream_id, s.sequence, s.state
), written as (
    select * from created union all select * from advanced
), events as (
    insert into event_log.outbox (event_id, slot, topic, key, headers, value)
    select e.event_id, e.slot, e.topic, e.key, e.headers, e.value
    from unnest($14::text[], $15::smallint[], $16::text[], $17::text[], $18::json[], $19::bytea[])
        with ordinality as e(event_id, slot, topic, key, headers, value, position)
    join written w on e.key = w.organization_id::text || '/' || w.stream_id
    order by e.position
), influencers as (
    insert into read_model.influencers
        (organization_id, influencer_id, project_id, status, sequence, created_at, state)
    select organization_id, stream_id, (state #>> '{influencer,projectId}')::uuid,
        state #>> '{influencer,status}', sequence,
        (state #>> '{influencer,createdAt}')::timestamptz, state -> 'influencer'
    from written where $22 and state ? 'influencer'
    order by organization_id, stream_id
    on conflict (organization_id, influencer_id) do update
        set status = excluded.status, sequence = excluded.sequence, state = excluded.state
        where influencers.sequence < excluded.sequence
    returning 1
), job_states as (
    select state -> 'job' as job from written where state ? 'job'
    union all
    select p.job from unnest($20::text[], $21::jsonb[]) as p(key, job)
    join written w on p.key = w.organization_id::text || '/' || w.stream_id
), jobs as (
    insert into read_model.jobs
        (job_id, organization_id, project_id, influencer_id, stream_id, kind, status, sequence,
         created_at, state)
    select job ->> 'jobId', (job ->> 'organizationId')::uuid, (job ->> 'projectId')::uuid,
        job ->> 'influencerId', coalesce(job ->> 'contentId', job ->> 'influencerId'), job ->> 'kind', job ->> 'status', (job ->> 'sequence')::bigint,
        (job ->> 'createdAt')::timestamptz, job
    from job_states cross join (select count(*) from influencers) as locked_first
    where $22
    order by job ->> 'jobId' collate "C"
    on conflict (job_id) do update
        set status = excluded.status, sequence = excluded.sequence, state = excluded.state
        where jobs.sequence < excluded.sequence
), assets as (
    insert into read_model.media_assets
        (organization_id, asset_id, project_id, influencer_id, created_at, state)
    select organization_id, stream_id, (state ->> 'projectId')::uuid, null,
        (state #>> '{asset,createdAt}')::timestamptz, state -> 'asset'
    from written where $22 and state ? 'asset'
    order by organization_id, stream_id
    on conflict do nothing
)
select 'written' as kind, organization_id, stream_id, null as scope, null as idempotency_key from written
union all
select 'lost', organization_id, stream_id, scope, idempotency_key from lost
