-- Payments, what was tried for them, and the ledger.
-- Expand only: the previous version runs on while this is applied.

create table payments (
    id             uuid primary key,
    order_id       uuid        not null,
    buyer_id       uuid        not null,
    amount         bigint      not null,               -- minor units
    currency       char(3)     not null,               -- ISO 4217
    state          text        not null,
    decline_reason text,
    refunded       bigint      not null default 0,     -- minor units given back so far
    refunding      bigint      not null default 0,     -- minor units of the refund that has no answer yet
    version        bigint      not null default 1,     -- grows with every change; the sequence of the payment's events
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    constraint payments_amount check (amount between 1 and 9999999999),
    constraint payments_currency check (currency ~ '^[A-Z]{3}$'),
    constraint payments_state check (state in ('authorising', 'void_requested', 'declined', 'authorised', 'capturing',
                                               'voiding', 'voided', 'captured', 'refunding')),
    constraint payments_decline check ((state = 'declined') = (decline_reason is not null)),
    constraint payments_refunding check ((state = 'refunding') = (refunding > 0)),
    constraint payments_refunded check (refunded >= 0 and refunding >= 0 and refunded + refunding <= amount),
    constraint payments_refund_of_captured check (refunded = 0 or state in ('captured', 'refunding'))
);
create index payments_order on payments (order_id, created_at);

-- One row for each operation that was asked of the provider. Never reused: a second try is a second row.
create table attempts (
    id              uuid primary key,
    payment_id      uuid        not null references payments,
    sequence        integer     not null,              -- 1 is the authorisation; part of the provider's idempotency key
    operation       text        not null,
    amount          bigint      not null,              -- minor units, in the payment's currency
    token           text,                              -- of an authorisation, until the provider has answered
    idempotency_key text        not null,              -- of the caller; names this operation for ever
    status          text        not null,              -- waiting: not sent yet, another attempt must end first
    refusal         text,                              -- the provider's reason
    unclear         integer     not null default 0,    -- how often the provider gave no clear answer
    next_check_at   timestamptz,                       -- from then on any replica may ask the provider again
    traceparent     text,                              -- of the caller's request, so that a later answer is of the same trace
    created_at      timestamptz not null default now(),
    finished_at     timestamptz,
    constraint attempts_key unique (idempotency_key),
    constraint attempts_sequence unique (payment_id, sequence),
    constraint attempts_operation check (operation in ('authorise', 'capture', 'void', 'refund')),
    constraint attempts_amount check (amount > 0 and sequence > 0),
    constraint attempts_status check (status in ('waiting', 'processing', 'succeeded', 'refused')),
    constraint attempts_refusal check ((status = 'refused') = (refusal is not null)),
    constraint attempts_checked check ((status = 'processing') = (next_check_at is not null)),
    constraint attempts_finished check ((status in ('succeeded', 'refused')) = (finished_at is not null)),
    constraint attempts_token check (token is null or (operation = 'authorise' and status = 'processing'))
);
-- At most one operation of a payment is with the provider.
create unique index attempts_in_flight on attempts (payment_id) where status = 'processing';
create index attempts_due on attempts (next_check_at) where status = 'processing';

-- The ledger: double entry, append only. A transfer is one movement of money, its entries sum to zero per currency.
-- A positive amount is a debit, a negative one a credit. The accounts are described in src/ledger.rs.
create table ledger_transfers (
    id         uuid primary key,
    payment_id uuid        not null references payments,
    attempt_id uuid        not null references attempts,
    created_at timestamptz not null default now(),
    constraint ledger_transfers_attempt unique (attempt_id)   -- what the provider did once is posted once
);

create table ledger_entries (
    transfer_id uuid    not null references ledger_transfers,
    account     text    not null,
    currency    char(3) not null,
    amount      bigint  not null,                      -- minor units
    primary key (transfer_id, account, currency),
    constraint ledger_entries_account check (account in ('provider_receivable', 'merchant_sales', 'refunds')),
    constraint ledger_entries_amount check (amount <> 0),
    constraint ledger_entries_currency check (currency ~ '^[A-Z]{3}$')
);

-- The argument names the column that holds the transfer's id.
create function ledger_is_balanced() returns trigger language plpgsql as $$
declare
    transfer uuid := to_jsonb(new) ->> tg_argv[0];
begin
    if not exists (select from ledger_entries where transfer_id = transfer)
       or exists (select from ledger_entries where transfer_id = transfer group by currency having sum(amount) <> 0) then
        raise exception 'transfer % is not balanced', transfer
            using errcode = 'integrity_constraint_violation', constraint = 'ledger_is_balanced';
    end if;
    return null;
end $$;
-- Deferred to the commit: the entries of a transfer arrive one after the other.
create constraint trigger ledger_transfers_balanced after insert on ledger_transfers
    deferrable initially deferred for each row execute function ledger_is_balanced('id');
create constraint trigger ledger_entries_balanced after insert on ledger_entries
    deferrable initially deferred for each row execute function ledger_is_balanced('transfer_id');

create function ledger_is_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'the ledger is append only: post a transfer in the other direction instead'
        using errcode = 'integrity_constraint_violation', constraint = 'ledger_is_append_only';
end $$;
create trigger ledger_transfers_append_only before update or delete or truncate on ledger_transfers
    for each statement execute function ledger_is_append_only();
create trigger ledger_entries_append_only before update or delete or truncate on ledger_entries
    for each statement execute function ledger_is_append_only();
