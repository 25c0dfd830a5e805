-- Every migration must work with the previous version of the service still running: expand first, contract a version later.

create table users (
    id            uuid primary key,
    -- As typed, trimmed, domain in lower case. ASCII only (HTML5 addresses), so lower() means the same in every locale.
    email         text not null check (length(email) between 3 and 254),
    name          text not null check (length(name) between 1 and 100),
    -- A PHC string: algorithm, cost and salt stand in it.
    password_hash text not null check (password_hash like '$argon2id$%'),
    roles         text[] not null check (cardinality(roles) > 0 and roles <@ array['buyer', 'admin']),
    created_at    timestamptz not null default now()
);

-- Two spellings of one address are one account. This index is the judge when twins register at once.
create unique index users_email_key on users (lower(email));

-- One log-in on one device, and the family of refresh tokens that came from it.
create table sessions (
    id         uuid primary key,
    user_id    uuid not null references users (id) on delete cascade,
    created_at timestamptz not null,
    revoked_at timestamptz
);

create index sessions_user_id on sessions (user_id);

create table refresh_tokens (
    -- SHA-256 of the token. The token itself is nowhere: 256 random bits need neither salt nor a slow hash.
    digest     bytea primary key check (length(digest) = 32),
    session_id uuid not null references sessions (id) on delete cascade,
    issued_at  timestamptz not null,
    expires_at timestamptz not null check (expires_at > issued_at),
    -- Set when the token was exchanged for the next one. Showing a used token again means that two hold it.
    used_at    timestamptz
);

create index refresh_tokens_session_id on refresh_tokens (session_id);
create index refresh_tokens_expires_at on refresh_tokens (expires_at);
-- A session has at most one token that still works.
create unique index refresh_tokens_one_unused on refresh_tokens (session_id) where used_at is null;
