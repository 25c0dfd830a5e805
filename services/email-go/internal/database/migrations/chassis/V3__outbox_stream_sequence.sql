-- Where in the stream the broker has put an event: an event that is not there any more was lost and is published again.
-- Missing in rows that the previous version has published.
alter table outbox add column stream_sequence bigint;
create index outbox_stream_sequence on outbox (stream_sequence) where published_at is not null;
create index outbox_without_sequence on outbox (published_at) where stream_sequence is null;
