-- Every migration here must work while the previous version of the service still runs: expand first, contract in a later one.

-- Who bought what: this service's own copy of what orders says in order.confirmed.
create table purchases (
    buyer_id uuid not null,
    sku      text not null,
    primary key (buyer_id, sku)
);

-- The rating of each product. Its row is locked by whoever changes a review of it, so that both always agree.
create table products (
    sku     text    primary key,
    reviews bigint  not null default 0,      -- that are shown
    stars   bigint  not null default 0,      -- of these together
    removed boolean not null default false,  -- not sold any more: its reviews are not shown
    constraint products_rating check (reviews >= 0 and stars between reviews and 5 * reviews)
);

create table reviews (
    id         uuid        primary key,      -- UUIDv7: newest last
    sku        text        not null references products,
    buyer_id   uuid        not null,         -- never shown
    stars      smallint    not null,
    title      text        not null,
    body       text        not null,
    name       text,                         -- chosen by the buyer for this review
    hidden     boolean     not null default false,
    version    bigint      not null default 1,
    written_at timestamptz not null default now(),
    changed_at timestamptz not null default now(),
    constraint reviews_stars check (stars between 1 and 5),
    constraint reviews_once unique (sku, buyer_id)
);
create index reviews_shown on reviews (sku, id desc) where not hidden;
