//! When a Shop lets new releases begin.

use kube::{KubeSchema, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rollout::bounds;

/// How many maintenance windows a Shop may have.
pub const MOST_WINDOWS: u32 = 16;

/// A time of the day, on some days of the week, at which releases may begin.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct MaintenanceWindow {
    /// On which days it opens. Default: every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub days: Vec<Weekday>,

    /// When it opens, on the clocks of its time zone, from "00:00" to "23:59". A time that a change of the clocks leaves out comes as much
    /// later; of one that comes twice the first counts.
    #[schemars(length(max = 5), regex(pattern = START))]
    pub start: String,

    /// How long it stays open, from "1m" to "24h": a number and s, m or h. It may last over midnight. A change of the clocks makes it
    /// neither longer nor shorter.
    #[schemars(length(max = 6), regex(pattern = r"^[1-9][0-9]{0,4}(s|m|h)$"))]
    #[x_kube(validation = bounds("duration", "1m", "24h"))]
    pub duration: String,

    /// Whose clocks count: a name of the IANA time zone database, for example "Europe/Berlin". Default: "UTC".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 64),
        regex(pattern = r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$")
    )]
    pub time_zone: Option<String>,
}

/// Hours and minutes of a day.
const START: &str = r"^([01][0-9]|2[0-3]):[0-5][0-9]$";

/// A day of the week.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weekday {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

/// What says who waits for windows where there are none.
const NEEDS_WINDOWS: &str = "needs a window: add maintenanceWindows, for example [{start: \"02:00\", duration: 4h, timeZone: Europe/Berlin}]";

/// Why `rollout.begins: InWindow` is refused without a window.
pub fn begins_without_windows() -> String {
    format!("rollout.begins: InWindow {NEEDS_WINDOWS}, or write Anytime")
}

/// Why `operatorUpdates: Window` is refused without one.
pub fn updates_without_windows() -> String {
    format!("operatorUpdates: Window {NEEDS_WINDOWS}, or write OnRelease or Immediately")
}

/// Nobody waits for a window that never opens.
pub(super) fn begins_in_some() -> Rule {
    let waits =
        "has(self.rollout) && has(self.rollout.begins) && self.rollout.begins == 'InWindow'";
    Rule::new(needs_some(waits)).message(begins_without_windows().as_str())
}

/// Nor does an operator.
pub(super) fn updates_in_some() -> Rule {
    let waits = "has(self.operatorUpdates) && self.operatorUpdates == 'Window'";
    Rule::new(needs_some(waits)).message(updates_without_windows().as_str())
}

fn needs_some(waits: &str) -> String {
    format!("!({waits}) || (has(self.maintenanceWindows) && self.maintenanceWindows.size() > 0)")
}
