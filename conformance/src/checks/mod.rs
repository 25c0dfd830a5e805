//! All checks, by scenario.

mod birth;
mod calls;
mod changes;
mod events;
mod grpc;
mod http;
mod image;
mod letters;
pub(crate) mod limits;
mod login;
mod mail;
mod observe;
mod once;
mod outages;
mod password;
mod retried;
mod schema;
mod settings;
pub(crate) mod stop;

use crate::check::Scenario;

/// Those that wait longest come first: all begin together.
pub(crate) static SCENARIOS: [&Scenario; 13] = [
    &calls::GRPC_AGE,
    &schema::UNREADABLE,
    &schema::NEVER_MIGRATED,
    &changes::CHANGES,
    &schema::REPLACED,
    &stop::STOP,
    &outages::OUTAGES,
    &events::EVENTS,
    &mail::MAIL,
    &calls::GRPC_STOP,
    &birth::BIRTH,
    &settings::SETTINGS,
    &http::CONNECTIONS,
];
