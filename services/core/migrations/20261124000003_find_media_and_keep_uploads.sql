-- migrate:up

-- A page of a project's media: of some kinds, newest first.
create index media_assets_of_project on read_model.media_assets
    (organization_id, project_id, (state ->> 'kind'), created_at desc, asset_id desc);

-- The same bytes twice in a project are one asset. Rendered images are not looked for.
create index media_assets_by_content on read_model.media_assets
    (organization_id, project_id, (state ->> 'sha256')) where influencer_id is null;

-- Uploads by a signed URL: what was announced, and the asset that it became.
create table event_log.uploads (
    upload_id       text primary key collate "C",
    organization_id uuid not null,
    project_id      uuid not null,
    kind            text not null,
    mime_type       text not null,
    size_bytes      bigint,
    sha256          text,
    filename        text,
    expires_at      timestamptz not null,
    asset_id        text collate "C"
);
create index uploads_by_expiry on event_log.uploads (expires_at);

-- migrate:down
drop table event_log.uploads;
drop index read_model.media_assets_by_content;
drop index read_model.media_assets_of_project;
