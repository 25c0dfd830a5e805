-- Events that were not applied are tried again from here and no longer by the broker. What the previous version writes
-- beside this one is due at once.
alter table failed_events
    add column due_at     timestamptz not null default now(), -- the next try
    add column waits_for  text,                               -- parked until this is known
    add column expires_at timestamptz;                        -- parked: dead if it is not known by then
create index failed_events_due on failed_events (due_at) where dead_at is null;
create index failed_events_waits_for on failed_events (waits_for) where dead_at is null;
create index failed_events_dead on failed_events (dead_at, id) where dead_at is not null;
