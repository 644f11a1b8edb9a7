-- migrate:up

-- Pages of jobs in every filter, each by one range of one index: page 1,000 costs what page 1 does.
create index jobs_of_influencer on read_model.jobs
    (organization_id, influencer_id, created_at desc, job_id desc);
create index jobs_by_kind_and_status on read_model.jobs
    (organization_id, kind, status, created_at desc, job_id desc);
create index jobs_of_project on read_model.jobs
    (organization_id, project_id, kind, status, created_at desc, job_id desc);

-- migrate:down
drop index read_model.jobs_of_project;
drop index read_model.jobs_by_kind_and_status;
drop index read_model.jobs_of_influencer;
