-- Works with the previous version running: it writes nothing here, so its orders do not count for their networks.

-- From where an order was placed: kept for an hour, to bound declined payments for each network.
create table order_networks (
    order_id uuid primary key references orders (id),
    -- An IPv4 address, or the /64 of IPv6 that one household has.
    network inet not null
);
create index order_networks_by_network on order_networks (network, order_id);
