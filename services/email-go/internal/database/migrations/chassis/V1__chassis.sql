-- Tables every service has in its own database. Expand only: the previous version runs on while this is applied.

create table outbox (
    id           uuid primary key,          -- UUIDv7, the event's id for ever
    subject      text        not null,      -- where it is published, also the CloudEvents type
    envelope     text        not null,      -- the whole CloudEvent as it goes out
    traceparent  text,
    created_at   timestamptz not null default now(),
    published_at timestamptz               -- null until the broker has acknowledged it
);
create index outbox_unpublished on outbox (id) where published_at is null;
create index outbox_published on outbox (published_at) where published_at is not null;

-- Events that were applied. The row and the effect are of one transaction.
create table inbox (
    event_id    uuid primary key,
    received_at timestamptz not null default now()
);
create index inbox_received on inbox (received_at);

-- The highest sequence applied per kind of event and aggregate, for events where only the latest counts.
create table inbox_latest (
    kind      text   not null,
    aggregate text   not null,
    sequence  bigint not null,
    primary key (kind, aggregate)
);

-- Events that could not be applied: first still being retried, dead once `dead_at` is set.
create table failed_events (
    id         uuid primary key,
    subject    text        not null,
    payload    text        not null,
    attempts   integer     not null,
    cause      text        not null,
    first_at   timestamptz not null default now(),
    last_at    timestamptz not null default now(),
    dead_at    timestamptz
);

-- One row a request that carried an Idempotency-Key; the answer is stored in the transaction that did the work.
create table idempotency (
    scope       text        not null,      -- who asked for what
    key         text        not null,
    fingerprint bytea       not null,      -- SHA-256 of the request: the same key with another body is refused
    status      smallint,
    body        text,
    location    text,
    created_at  timestamptz not null default now(),
    primary key (scope, key)
);
create index idempotency_created on idempotency (created_at);
