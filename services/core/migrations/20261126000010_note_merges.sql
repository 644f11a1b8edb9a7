-- migrate:up

-- The rebuilds of one model whose other models have been copied. A row of its own: the copying sees
-- one snapshot throughout, and could not write to the rebuild's row, where a heart beats meanwhile.
create table control.rebuild_merges (
    rebuild_id bigint primary key
);
insert into control.rebuild_merges select rebuild_id from control.rebuilds where merged;
alter table control.rebuilds drop column merged;

-- migrate:down
alter table control.rebuilds add column merged boolean not null default false;
update control.rebuilds set merged = true
where rebuild_id in (select rebuild_id from control.rebuild_merges);
drop table control.rebuild_merges;
