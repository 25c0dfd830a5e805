create table notes (
    id    uuid primary key,
    text  text not null constraint notes_text_unique unique
);
create table received (
    aggregate text   primary key,
    sequence  bigint not null,
    times     bigint not null default 1
);
