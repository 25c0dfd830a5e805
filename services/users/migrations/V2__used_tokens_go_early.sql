-- Used tokens and ended sessions are removed long before they would have expired.
create index refresh_tokens_used_at on refresh_tokens (used_at) where used_at is not null;
create index sessions_revoked_at on sessions (revoked_at) where revoked_at is not null;
