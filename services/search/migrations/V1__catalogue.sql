-- Expand only: a migration must work while the previous version of the service runs on.

-- The catalogue. Every replica builds its index from these rows and follows them by `changed`.
create table products (
    sku         text        primary key check (sku ~ '^[A-Za-z0-9._-]{1,64}$'),
    version     bigint      not null check (version > 0),     -- counts up per sku, also over a removal: ETag and sequence of the events
    title       text        not null,
    description text        not null,
    brand       text        not null,
    category    text        not null,
    amount      bigint      not null check (amount >= 0),     -- the price in minor units
    currency    text        not null check (currency ~ '^[A-Z]{3}$'),
    attributes  jsonb       not null default '{}',
    removed     boolean     not null default false,           -- a tombstone: replicas learn from it that the product is gone
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    changed     xid8        not null default pg_current_xact_id()  -- the transaction that last wrote the row
);
create index products_changed on products (changed);

-- What was last heard of the stock. A row may come before its product.
create table stock (
    sku        text        primary key,
    available  bigint      not null check (available >= 0),
    heard_at   timestamptz not null default now(),
    changed    xid8        not null default pg_current_xact_id()  -- the transaction that last turned it from none to some or back
);
create index stock_changed on stock (changed);
