-- Every migration here must work while the previous version of the service still runs: expand first, contract in a later one.

alter table mails
    add column queued_at  timestamptz,                     -- when it was last queued again by an administrator
    add column refused_at timestamptz,                     -- the first refusal of which it was not clear whom it is about
    add column endings    integer not null default 0;      -- how often its journey ended: the sequence of its events

alter table mails drop constraint mails_kind_check;
alter table mails add constraint mails_kind_check
    check (kind in ('welcome', 'order_confirmed', 'order_cancelled', 'order_refunded'));

-- Whether any mail was taken since another one was refused.
create index mails_sent on mails (sent_at) where sent_at is not null;
-- What is old enough to be removed.
create index mails_created on mails (created_at);
-- What an administrator looks for.
create index mails_failed on mails (id) where status = 'failed';

-- No mail greets by name any more: a name is chosen by whoever registers, for an address that may be somebody else's.
alter table recipients alter column name set default '';
alter table mails alter column to_name set default '';
