-- Every migration here must work while the previous version of the service still runs: expand first, contract in a later one.

-- Whom to write to: this service's own copy of what users says in user.registered.
create table recipients (
    user_id       uuid        primary key,
    address       text        not null,
    name          text        not null,
    registered_at timestamptz not null default now()
);

-- Every mail as it was rendered, and how far it got.
create table mails (
    id            uuid        primary key,   -- UUIDv7: newest last; also the Message-ID
    kind          text        not null check (kind in ('welcome', 'order_confirmed', 'order_cancelled')),
    reference     uuid        not null,      -- what the mail is about: the order, or the user for a welcome
    user_id       uuid        not null,
    order_id      uuid,
    to_address    text        not null,
    to_name       text        not null,
    subject       text        not null,
    text_body     text        not null,
    html_body     text        not null,
    status        text        not null default 'queued' check (status in ('queued', 'sending', 'sent', 'kept', 'failed')),
    attempts      integer     not null default 0 check (attempts >= 0),
    due_at        timestamptz not null default now(), -- queued: next attempt; sending: end of the sender's lease
    last_error    text,                               -- why the latest attempt did not succeed
    created_at    timestamptz not null default now(),
    sent_at       timestamptz,
    traceparent   text,                               -- the trace of the event that caused it
    check ((status = 'sent') = (sent_at is not null)),
    -- One visible mail for each thing that happened, however often its event is delivered.
    constraint mails_once unique (kind, reference)
);
create index mails_due on mails (due_at) where status in ('queued', 'sending');
create index mails_order on mails (order_id) where order_id is not null;
create index mails_user on mails (user_id);
