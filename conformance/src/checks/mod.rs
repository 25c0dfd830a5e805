//! All checks, by scenario.

mod birth;
mod events;
mod grpc;
mod http;
mod letters;
mod login;
mod mail;
mod observe;
mod once;
mod outages;
mod schema;
mod settings;
pub(crate) mod stop;

use crate::check::Scenario;

/// Those that wait longest come first: all begin together.
pub(crate) static SCENARIOS: [&Scenario; 9] = [
    &schema::NEVER_MIGRATED,
    &schema::REPLACED,
    &stop::STOP,
    &outages::OUTAGES,
    &events::EVENTS,
    &mail::MAIL,
    &birth::BIRTH,
    &settings::SETTINGS,
    &http::CONNECTIONS,
];
