-- migrate:up

-- Which turn a queue has come to: it never goes back, whatever is queued again with an old one.
create table control.turns_served (
    queue text primary key,
    turn  integer not null
);
insert into control.turns_served (queue, turn)
select queue, max(turn) from control.queue_turns group by queue;
update control.turns_served s set turn = q.turn
from (
    select 'render_queue' as queue, -max(priority) as turn
    from render_queue.pgqueuer where status = 'queued'
    union all
    select 'content', -max(priority) from content.pgqueuer where status = 'queued'
) as q
where q.queue = s.queue and q.turn is not null;

-- migrate:down
drop table control.turns_served;
