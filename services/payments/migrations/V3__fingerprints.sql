-- Works with the previous version running: it leaves the new column empty, and reads nothing of it.

-- SHA-256 of the request that a key named first: kept as long as the key. Empty where the previous version wrote the attempt.
alter table attempts add column fingerprint bytea;
update attempts set fingerprint = idempotency.fingerprint
from idempotency
where idempotency.scope = 'payments' and idempotency.key = attempts.idempotency_key;

-- What the simulator may forget is found by its age.
create index requests_by_age on simulator.requests (received_at);
