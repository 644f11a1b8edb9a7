-- migrate:up
create schema control;

create table control.organizations (
    organization_id uuid primary key,
    name            text not null,
    created_at      timestamptz not null default now()
);

create table control.projects (
    project_id      uuid primary key,
    organization_id uuid not null references control.organizations,
    name            text not null,
    created_at      timestamptz not null default now()
);
create index projects_of_organization on control.projects (organization_id, created_at, project_id);

-- The secret is never stored: key_hash is the SHA-256 of the whole key, key_id its public part.
create table control.api_keys (
    key_id          text primary key collate "C",
    organization_id uuid not null references control.organizations,
    name            text not null,
    key_hash        bytea not null check (length(key_hash) = 32),
    scopes          text[] not null,
    tier            text not null check (tier in ('standard', 'pilot', 'partner', 'internal')),
    created_at      timestamptz not null default now(),
    expires_at      timestamptz,
    revoked_at      timestamptz
);
create index api_keys_of_organization on control.api_keys (organization_id, created_at);

-- migrate:down
drop schema control cascade;
