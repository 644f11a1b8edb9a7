-- migrate:up

-- How often a worker has begun the picture: one that ends every worker is given up some time.
alter table content.requests add column starts integer not null default 0;

-- migrate:down
alter table content.requests drop column starts;
