-- migrate:up

-- Whose turn it is in a queue: the last turn that each organization was given.
create table control.queue_turns (
    queue           text not null,
    organization_id uuid not null,
    turn            integer not null,
    primary key (queue, organization_id)
);

-- migrate:down
drop table control.queue_turns;
