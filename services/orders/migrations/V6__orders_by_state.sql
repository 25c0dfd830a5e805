-- Works with the previous version running: it is an index alone. Writes to orders wait while it is built.

-- Staff look for what is pending, or was cancelled, among all orders.
create index orders_by_state on orders (state, id desc);
