-- How often the provider refused a step of this checkout. Payments answers a key for ever as it did first, so the number is
-- part of the next key. The previous version leaves it at 0.
alter table sagas add column refusals integer not null default 0 check (refusals >= 0);
