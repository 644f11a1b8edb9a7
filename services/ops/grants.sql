-- Who may do what: a role per service, with no more than what its statements need, and the walls
-- between organizations (row-level security). Said anew as a whole each time: what isn't here is
-- taken away. Nobody logs in as these roles; an operator's logins are their members.
--
-- The owner of the tables (who migrates and operates) passes every wall. A rebuild copies
-- privileges and policies to the tables it makes.
do $$
declare
    wanted text;
begin
    foreach wanted in array array[
        'influencer_append', 'influencer_reader', 'influencer_api', 'influencer_renderer',
        'influencer_projector', 'influencer_content'
    ] loop
        if to_regrole(wanted) is null then
            begin
                execute format('create role %I nologin', wanted);
            exception when duplicate_object or unique_violation then
                null;  -- another database of this server made it just now
            end;
        end if;
        execute format(
            'revoke all on all tables in schema control, event_log, read_model, render_queue, content from %1$I;'
            'revoke all on all sequences in schema control, event_log, read_model, render_queue, content from %1$I;'
            'revoke all on schema control, event_log, read_model, render_queue, content from %1$I',
            wanted);
    end loop;
    -- Roles belong to the server: once is enough, whichever database it was for.
    if not pg_has_role('influencer_api', 'influencer_reader', 'member') then
        grant influencer_append to influencer_api, influencer_renderer, influencer_content;
        grant influencer_reader to influencer_api with inherit false, set true;
    end if;
end $$;

-- The append: what every service needs that decides something. It is one statement for all of
-- them, and names the read models also where they are not written.
grant usage on schema event_log, read_model to influencer_append;
grant select, insert, update on event_log.streams, event_log.idempotency_keys to influencer_append;
grant insert on event_log.outbox to influencer_append;
grant select, insert, update on read_model.influencers, read_model.jobs to influencer_append;
grant select, insert on read_model.media_assets to influencer_append;
-- What it names is put into the object store before, beside whoever sweeps that.
grant select, update, delete on event_log.condemned_objects to influencer_append;

-- Answers of the api to one organization: under row-level security, and it can't write.
grant usage on schema control, event_log, read_model to influencer_reader;
grant select on
    read_model.influencers, read_model.jobs, read_model.events, read_model.media_assets,
    read_model.quarantine, read_model.projection_offsets,
    event_log.streams, event_log.idempotency_keys, event_log.uploads,
    control.projects, control.skipped_records, control.projection_reports
to influencer_reader;

-- The api, its relay included. It may take on the reader's role, and isn't it.
grant usage on schema control to influencer_api;
grant select on
    control.organizations, control.projects, control.api_keys, control.skipped_records,
    control.projection_reports, control.rebuilds,
    read_model.events, read_model.quarantine, read_model.projection_offsets
to influencer_api;
grant select, insert, update, delete on control.rate_limit_charges to influencer_api;
grant delete on event_log.idempotency_keys to influencer_api;
grant select, insert, update, delete on event_log.uploads to influencer_api;
grant select, delete on event_log.outbox to influencer_api;
grant select, insert on event_log.relay_configuration to influencer_api;

-- The renderer: its queue, and the append.
grant usage on schema control, render_queue to influencer_renderer;
grant select, insert, update on control.queue_turns, control.turns_served to influencer_renderer;
grant select, insert, update, delete on all tables in schema render_queue to influencer_renderer;
grant usage on all sequences in schema render_queue to influencer_renderer;

-- The content service: its own schema, and the append.
grant usage on schema control, content to influencer_content;
grant select, insert, update on control.queue_turns, control.turns_served to influencer_content;
grant select, insert, update, delete on all tables in schema content to influencer_content;
grant usage on all sequences in schema content to influencer_content;

-- The projector: the read models. It takes nothing away from them.
grant usage on schema control, read_model to influencer_projector;
grant select, insert, update on
    read_model.influencers, read_model.jobs, read_model.projection_offsets
to influencer_projector;
grant select, insert on
    read_model.events, read_model.media_assets, read_model.quarantine
to influencer_projector;
grant select on control.skipped_records, control.rebuilds to influencer_projector;
grant select, insert, update, delete on control.projection_reports to influencer_projector;

-- The walls: a reader sees the rows of the organization that its connection was given, and none
-- when it was given none; a statement that forgot to say whose rows it wants finds none of others.
do $$
declare
    organization constant text := '(select nullif(current_setting(''app.organization_id'', true), ''''))';
    walled record;
begin
    for walled in
        select *, format('%s = %s', walls.owner_of_row,
            case when kind = 'uuid' then organization || '::uuid' else organization end) as is_own
        from (values
            ('read_model.influencers', 'organization_id', 'uuid'),
            ('read_model.jobs', 'organization_id', 'uuid'),
            ('read_model.events', 'organization_id', 'uuid'),
            ('read_model.media_assets', 'organization_id', 'uuid'),
            ('read_model.quarantine', 'split_part(stream_key, ''/'', 1)', 'text'),
            ('event_log.streams', 'organization_id', 'uuid'),
            ('event_log.idempotency_keys', 'organization_id', 'uuid'),
            ('event_log.uploads', 'organization_id', 'uuid'),
            ('control.projects', 'organization_id', 'uuid'),
            ('control.skipped_records', 'split_part(stream_key, ''/'', 1)', 'text')
        ) as walls(name, owner_of_row, kind)
    loop
        execute format('alter table %s enable row level security', walled.name);
        execute format('drop policy if exists own_organization on %s', walled.name);
        execute format('drop policy if exists every_organization on %s', walled.name);
        execute format(
            'create policy own_organization on %s for select to influencer_reader using (%s)',
            walled.name, walled.is_own);
        execute format(
            'create policy every_organization on %s to influencer_append, influencer_api,'
            ' influencer_projector using (true) with check (true)',
            walled.name);
    end loop;
end $$;
