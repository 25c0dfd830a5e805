-- Expand only: the previous version writes products without this column and leaves it as it is.
alter table products add column pictures jsonb not null default '[]';
