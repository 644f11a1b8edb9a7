-- migrate:up

-- What each api replica has charged to keys' rate limits, told to the others: one row per replica
-- and half second in which it charged anything, for two minutes. A crash may forget it.
create unlogged table control.rate_limit_charges (
    replica    uuid not null,
    position   bigint not null check (position > 0),
    charged_at timestamptz not null default now(),
    charges    jsonb not null,
    primary key (replica, position)
);
create index rate_limit_charges_by_age on control.rate_limit_charges (charged_at);

-- migrate:down
drop table control.rate_limit_charges;
