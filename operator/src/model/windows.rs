//! The maintenance windows of a Shop, read: with the rules of their time zones, which are part of the program, so that the same Shop means
//! the same everywhere.

use jiff::{
    SignedDuration,
    civil::{self, Time},
    tz::{TimeZone, TimeZoneDatabase},
};

use crate::{
    api::{
        Begins, MaintenanceWindow, OperatorUpdates, ShopSpec, Weekday, begins_without_windows,
        updates_without_windows,
    },
    quantity::seconds,
};

/// The least and the most that a window may last, in seconds.
const DURATIONS: std::ops::RangeInclusive<i64> = 60..=24 * 3600;

/// A window that can be read.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidWindow {
    /// On which days it opens; at least one.
    pub days: Vec<civil::Weekday>,
    /// When, on the clocks of its time zone.
    pub start: Time,
    /// How long it stays open: at most 24 hours.
    pub duration: SignedDuration,
    /// Whose clocks count.
    pub time_zone: TimeZone,
}

/// Reads the windows of a Shop. What is wrong with them comes to `wrong`, each as one sentence; also where they are missing.
pub fn windows(spec: &ShopSpec, wrong: &mut Vec<String>) -> Vec<ValidWindow> {
    let begins = spec.rollout.as_ref().and_then(|rollout| rollout.begins);
    if spec.maintenance_windows.is_empty() {
        if begins == Some(Begins::InWindow) {
            wrong.push(format!("spec.{}", begins_without_windows()));
        }
        if spec.operator_updates == Some(OperatorUpdates::Window) {
            wrong.push(format!("spec.{}", updates_without_windows()));
        }
    }
    let windows = spec.maintenance_windows.iter().enumerate();
    let read = windows.filter_map(|(number, window)| {
        let path = format!("spec.maintenanceWindows[{number}]");
        read(&path, window, wrong)
    });
    read.collect()
}

fn read(path: &str, window: &MaintenanceWindow, wrong: &mut Vec<String>) -> Option<ValidWindow> {
    let name = window.time_zone.as_deref().unwrap_or("UTC");
    let time_zone = TimeZoneDatabase::bundled().get(name).ok();
    if time_zone.is_none() {
        wrong.push(format!(
            "{path}.timeZone: {name} is no time zone; write a name of the IANA time zone database, for example Europe/Berlin, \
             America/New_York or UTC"
        ));
    }
    let start = start(&window.start);
    if start.is_none() {
        wrong.push(format!(
            "{path}.start: write hours and minutes from 00:00 to 23:59, for example 02:00"
        ));
    }
    let duration = seconds(&window.duration).filter(|seconds| DURATIONS.contains(seconds));
    if duration.is_none() {
        wrong.push(format!(
            "{path}.duration: must be from 1m to 24h: a whole number and s, m or h, for example 90m or 4h"
        ));
    }
    Some(ValidWindow {
        days: days(&window.days),
        start: start?,
        duration: SignedDuration::from_secs(duration?),
        time_zone: time_zone?,
    })
}

/// Two digits, a colon and two digits: what admission takes.
fn start(text: &str) -> Option<Time> {
    let (hours, minutes) = text.split_once(':')?;
    let is_written_out = |text: &str| text.len() == 2 && text.bytes().all(|c| c.is_ascii_digit());
    let number = |text: &str| text.parse().ok().filter(|_| is_written_out(text));
    Time::new(number(hours)?, number(minutes)?, 0, 0).ok()
}

fn days(named: &[Weekday]) -> Vec<civil::Weekday> {
    if named.is_empty() {
        return civil::Weekday::Monday.cycle_forward().take(7).collect();
    }
    let day = |day: &Weekday| match day {
        Weekday::Mon => civil::Weekday::Monday,
        Weekday::Tue => civil::Weekday::Tuesday,
        Weekday::Wed => civil::Weekday::Wednesday,
        Weekday::Thu => civil::Weekday::Thursday,
        Weekday::Fri => civil::Weekday::Friday,
        Weekday::Sat => civil::Weekday::Saturday,
        Weekday::Sun => civil::Weekday::Sunday,
    };
    named.iter().map(day).collect()
}
