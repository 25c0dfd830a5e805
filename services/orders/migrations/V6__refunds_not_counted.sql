-- Works with the previous version running: it is what this is for.

-- Refunds that the previous version wrote into a timeline and did not count.
create index timeline_refunds_not_counted on timeline (order_id) where detail = 'payments says: money was given back';
