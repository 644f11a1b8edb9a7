-- migrate:up

-- A projector holds states at hand and doesn't read their rows again: a repair, which changes rows
-- under its hands, is counted here, and the projector's next batch doesn't fit any more.
alter table read_model.projection_offsets add column repairs integer not null default 0;

-- migrate:down
alter table read_model.projection_offsets drop column repairs;
