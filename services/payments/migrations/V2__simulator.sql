-- The built-in provider simulator's own books: the "other side", in a schema of its own. No foreign key leads here or out.
-- Expand only: the previous version runs on while this is applied.

create schema simulator;

-- What was asked under which idempotency key, and the answer that was decided when it was first heard.
create table simulator.requests (
    key           text primary key,
    operation     text        not null,
    amount        bigint      not null,
    currency      char(3)     not null,
    refusal       text,                                -- null: approved
    silent_first  boolean     not null default false,  -- gives no clear answer the first time it is asked
    answers_at    timestamptz not null default now(),
    asked         integer     not null default 1,
    received_at   timestamptz not null default now()
);
