-- When orders wrote an entry down: did the step itself, or heard of what happened at the entry's `at`. Not known of entries
-- that an earlier version wrote before this migration; those it writes meanwhile get the default.
alter table timeline add column recorded_at timestamptz;
alter table timeline alter column recorded_at set default now();
