-- Works with the previous version running (there is none yet). Later migrations expand first and contract a version later.

-- What search sells, as it told us: a local copy, so that a checkout asks nobody.
create table offers (
    sku text primary key,
    removed boolean not null,
    title text not null,
    amount bigint not null check (amount between 0 and 1000000000000),
    currency text not null check (currency ~ '^[A-Z]{3}$')
);

create table stock (
    sku text primary key,
    -- Units on the shelf, the reserved ones among them.
    on_hand integer not null check (on_hand >= 0),
    reserved integer not null default 0 check (reserved >= 0),
    -- Counts the changes of what is available: the sequence of stock.changed.
    version bigint not null default 0,
    constraint stock_covers_reserved check (reserved <= on_hand)
);

-- One row a buyer: locked by whoever changes the cart or checks it out.
create table carts (
    buyer_id uuid primary key
);

create table cart_items (
    buyer_id uuid not null references carts (buyer_id),
    sku text not null,
    quantity integer not null check (quantity between 1 and 99),
    added_at timestamptz not null default now(),
    primary key (buyer_id, sku)
);

create table orders (
    -- UUIDv7: newer orders have higher ids.
    id uuid primary key,
    buyer_id uuid not null,
    state text not null check (state in ('pending', 'confirmed', 'paid', 'cancelled')),
    cancel_reason text check (cancel_reason in ('payment_declined', 'payment_refused', 'timed_out')),
    total_amount bigint not null check (total_amount >= 0),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    -- Sequence of the order's newest event.
    version bigint not null default 1,
    placed_at timestamptz not null,
    confirmed_at timestamptz,
    -- When it became paid or cancelled.
    finished_at timestamptz,
    check ((state = 'cancelled') = (cancel_reason is not null)),
    check ((state in ('confirmed', 'paid')) = (confirmed_at is not null)),
    check ((state in ('paid', 'cancelled')) = (finished_at is not null))
);
create index orders_of_buyer on orders (buyer_id, id desc);

-- Title and price as they were when the order was placed.
create table order_lines (
    order_id uuid not null references orders (id),
    position integer not null,
    sku text not null,
    title text not null,
    quantity integer not null check (quantity between 1 and 99),
    unit_amount bigint not null check (unit_amount >= 0),
    primary key (order_id, position)
);

-- Units held for orders that are not confirmed yet. The row goes when its units are sold or released, so that neither
-- can happen twice. A reservation ends at the deadline of its order's saga, and only the saga ends it: one that ended
-- by itself could sell units whose payment is just being authorised.
create table reservations (
    order_id uuid not null references orders (id),
    sku text not null references stock (sku),
    quantity integer not null check (quantity between 1 and 99),
    primary key (order_id, sku)
);

-- The checkout of one order: what it does next, and who is at it.
create table sagas (
    order_id uuid primary key references orders (id),
    step text not null check (step in ('authorise', 'capture', 'void', 'ended')),
    -- How often the step has been started.
    attempt integer not null default 0 check (attempt >= 0),
    payment_id uuid,
    -- A bearer secret: kept until payments has taken it.
    payment_token text,
    -- Until when the payment must be authorised.
    deadline timestamptz not null,
    due_at timestamptz not null,
    -- Nobody else takes the saga before this moment.
    lease_until timestamptz,
    -- Rises with every claim: a runner that lost its lease cannot write any more.
    version bigint not null default 0,
    -- The trace of the checkout, which the steps continue.
    traceparent text,
    started_at timestamptz not null,
    constraint captures_a_known_payment check (step <> 'capture' or payment_id is not null),
    constraint token_is_forgotten check (payment_token is null or (step = 'authorise' and payment_id is null))
);
create index sagas_due on sagas (due_at) where step <> 'ended';
create index sagas_unfinished on sagas (started_at) where step <> 'ended';

-- What happened to an order, in plain words: the saga's own log and the events heard about it.
create table timeline (
    id bigint generated always as identity primary key,
    order_id uuid not null references orders (id),
    at timestamptz not null,
    service text not null,
    step text not null,
    outcome text not null check (outcome in ('done', 'failed', 'retrying', 'compensated', 'info')),
    detail text not null,
    attempt integer,
    trace_id text
);
create index timeline_of_order on timeline (order_id, at, id);
