-- The write side's states, cut from the read models, which the same fold has made. A stream that
-- has records in quarantine gets a row without a state, behind all of them: where it stands nobody
-- knows yet, and nothing may be appended to it.
with parked as (
    select distinct stream_key from read_model.quarantine where not repeated
), influencers as (
    insert into event_log.streams (organization_id, stream_id, sequence, state)
    select i.organization_id, i.influencer_id, i.sequence,
        jsonb_strip_nulls(jsonb_build_object('sequence', i.sequence, 'job', j.state))
            || jsonb_build_object('influencer', i.state)
    from read_model.influencers i
    left join read_model.jobs j on j.job_id = i.state ->> 'jobId'
    where i.organization_id::text || '/' || i.influencer_id not in (select stream_key from parked)
    returning 1
), contents as (
    insert into event_log.streams (organization_id, stream_id, sequence, state)
    select organization_id, stream_id, sequence,
        jsonb_build_object('sequence', sequence, 'job', state)
    from read_model.jobs
    where kind = 'content_generate'
        and organization_id::text || '/' || stream_id not in (select stream_key from parked)
    returning 1
), assets as (
    insert into event_log.streams (organization_id, stream_id, sequence, state)
    select a.organization_id, a.asset_id, e.sequence,
        jsonb_build_object(
            'sequence', e.sequence, 'projectId', a.project_id, 'asset', a.state, 'updatedAt',
            to_char(e.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
    from read_model.media_assets a
    join read_model.events e on e.organization_id = a.organization_id and e.stream_id = a.asset_id
    where e.type = 'MediaAssetUploaded'
        and a.organization_id::text || '/' || a.asset_id not in (select stream_key from parked)
    returning 1
), refusing as (
    insert into event_log.streams (organization_id, stream_id, sequence, state)
    select split_part(stream_key, '/', 1)::uuid, split_part(stream_key, '/', 2), sequence,
        jsonb_build_object('sequence', sequence)
    from (
        select q.stream_key,
            count(distinct (q.topic, q.partition, q.record_offset))
                + coalesce(max(i.sequence), max(j.sequence), 0) as sequence
        from read_model.quarantine q
        left join read_model.influencers i
            on i.organization_id::text || '/' || i.influencer_id = q.stream_key
        left join read_model.jobs j
            on j.kind = 'content_generate'
            and j.organization_id::text || '/' || j.stream_id = q.stream_key
        where not q.repeated
            and q.stream_key ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/(inf|cnt|ast)_[0-9A-Z]{26}$'
        group by q.stream_key
    ) as parked_streams
)
select (select count(*) from influencers) + (select count(*) from contents)
    + (select count(*) from assets)
