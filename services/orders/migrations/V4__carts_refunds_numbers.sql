-- Works with the previous version running: it writes none of the new columns, and their defaults are true for what it writes.

-- Rises with every change of what is in the cart.
alter table carts add column version bigint not null default 0;
-- Minor units that were given back, in the order's currency.
alter table orders add column refunded_amount bigint not null default 0
    constraint refunded_at_most_the_total check (refunded_amount between 0 and total_amount);
-- The short number of an order is the end of its id.
create index orders_by_number on orders (right(id::text, 8), id desc);
-- Finds the product that was meant by a sku in the wrong case.
create index offers_in_any_case on offers (lower(sku));
-- Names that no path can hold are no skus any more. What was ordered under them stays as it is.
delete from cart_items where sku in ('import', '.', '..');
update offers set removed = true where sku in ('import', '.', '..');
