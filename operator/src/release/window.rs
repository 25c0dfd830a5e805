//! When maintenance windows are open: by the clocks of their time zones, over midnight and over changes of the clocks. Pure.

use jiff::{Timestamp, ToSpan, civil::Date};

use crate::model::windows::ValidWindow;

/// A window that opened a day before, by its own calendar, may still be open; one day more for clocks that are put back.
const DAYS_BACK: i64 = -2;
/// Each window opens once a week at least; one week more for a place that leaves out a day, as one does that changes the side of the date
/// line.
const DAYS_AHEAD: i64 = 14;

/// Whether one of the windows is open. It is at the moment at which it opens, and no more at that at which it closes.
pub(super) fn is_open(windows: &[ValidWindow], now: Timestamp) -> bool {
    windows.iter().any(|window| {
        let mut openings = openings(window, now);
        openings.any(|opens| opens <= now && now.duration_since(opens) < window.duration)
    })
}

/// When the next of the windows opens after `now`; none where there are none.
pub(super) fn next_opening(windows: &[ValidWindow], now: Timestamp) -> Option<Timestamp> {
    let openings = windows.iter().flat_map(|window| openings(window, now));
    openings.filter(|opens| *opens > now).min()
}

/// The times about `now` at which a window opens. One that the clocks leave out comes as much later; of one that comes twice the first
/// counts.
fn openings(window: &ValidWindow, now: Timestamp) -> impl Iterator<Item = Timestamp> {
    let today: Date = window.time_zone.to_datetime(now).date();
    (DAYS_BACK..=DAYS_AHEAD).filter_map(move |days| {
        let day = today.checked_add(days.days()).ok()?;
        let is_on = window.days.contains(&day.weekday());
        let opens = window.time_zone.to_timestamp(day.to_datetime(window.start));
        opens.ok().filter(|_| is_on)
    })
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, civil::Weekday, tz::TimeZoneDatabase};

    use super::*;

    fn window(days: &[Weekday], start: &str, hours: i64, time_zone: &str) -> ValidWindow {
        ValidWindow {
            days: days.to_vec(),
            start: start.parse().expect("a time of the day"),
            duration: SignedDuration::from_hours(hours),
            time_zone: TimeZoneDatabase::bundled().get(time_zone).expect("one"),
        }
    }

    fn daily(start: &str, hours: i64, time_zone: &str) -> ValidWindow {
        let days: Vec<_> = Weekday::Monday.cycle_forward().take(7).collect();
        window(&days, start, hours, time_zone)
    }

    fn at(time: &str) -> Timestamp {
        time.parse().expect("a time")
    }

    /// Closed a second before the first, open from there on, and closed from the second on.
    #[track_caller]
    fn assert_open_from_to(window: &ValidWindow, opens: &str, closes: &str) {
        let windows = std::slice::from_ref(window);
        let second = SignedDuration::from_secs(1);
        let (opens, closes) = (at(opens), at(closes));
        assert!(!is_open(windows, opens - second), "before");
        assert_eq!(next_opening(windows, opens - second), Some(opens));
        assert!(is_open(windows, opens), "at its beginning");
        assert!(is_open(windows, closes - second), "at its end");
        assert!(!is_open(windows, closes), "after");
    }

    #[test]
    fn a_window_over_midnight_is_open_on_the_next_day() {
        let friday = window(&[Weekday::Friday], "23:00", 4, "UTC");
        // The 27th is a Friday.
        assert_open_from_to(&friday, "2026-11-27T23:00:00Z", "2026-11-28T03:00:00Z");
        let friday = [friday];
        assert!(is_open(&friday, at("2026-11-28T01:00:00Z")));
        assert!(!is_open(&friday, at("2026-11-27T01:00:00Z")));
        assert_eq!(
            next_opening(&friday, at("2026-11-28T01:00:00Z")),
            Some(at("2026-12-04T23:00:00Z"))
        );
    }

    #[test]
    fn days_are_those_of_the_time_zone() {
        // It is Saturday there already, and still Saturday when it is Sunday in UTC.
        let saturday = window(&[Weekday::Saturday], "01:00", 2, "Pacific/Auckland");
        assert_open_from_to(&saturday, "2026-11-27T12:00:00Z", "2026-11-27T14:00:00Z");
        let saturday = window(&[Weekday::Saturday], "22:00", 2, "America/Los_Angeles");
        assert_open_from_to(&saturday, "2026-11-29T06:00:00Z", "2026-11-29T08:00:00Z");
    }

    #[test]
    fn a_window_that_never_closes_is_always_open() {
        let always = [daily("12:00", 24, "Europe/Berlin")];
        let mut now = at("2026-03-27T00:30:00Z");
        while now < at("2026-03-28T23:00:00Z") {
            assert!(is_open(&always, now), "{now}");
            now += SignedDuration::from_mins(30);
        }
        // But for the hour by which a day is longer than that.
        assert!(!is_open(&always, at("2026-10-25T10:30:00Z")));
        assert!(is_open(&always, at("2026-10-25T11:00:00Z")));
    }

    #[test]
    fn summer_time_moves_the_opening() {
        let early = daily("04:00", 2, "Europe/Berlin");
        for (opens, closes) in [
            ("2026-03-28T03:00:00Z", "2026-03-28T05:00:00Z"),
            ("2026-03-29T02:00:00Z", "2026-03-29T04:00:00Z"),
            ("2026-10-24T02:00:00Z", "2026-10-24T04:00:00Z"),
            ("2026-10-25T03:00:00Z", "2026-10-25T05:00:00Z"),
        ] {
            assert_open_from_to(&early, opens, closes);
        }
    }

    #[test]
    fn what_the_clocks_leave_out_comes_as_much_later() {
        // From 02:00 to 03:00 there is no time of the day: 02:30 is 03:30.
        let gap = daily("02:30", 1, "Europe/Berlin");
        assert_open_from_to(&gap, "2026-03-28T01:30:00Z", "2026-03-28T02:30:00Z");
        assert_open_from_to(&gap, "2026-03-29T01:30:00Z", "2026-03-29T02:30:00Z");
        assert_open_from_to(&gap, "2026-03-30T00:30:00Z", "2026-03-30T01:30:00Z");
    }

    #[test]
    fn of_an_hour_that_comes_twice_the_first_counts() {
        let twice = daily("02:30", 1, "Europe/Berlin");
        assert_open_from_to(&twice, "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z");
        let windows = [twice];
        let second = at("2026-10-25T01:30:00Z");
        assert_eq!(
            next_opening(&windows, second),
            Some(at("2026-10-26T01:30:00Z"))
        );
    }

    #[test]
    fn a_window_lasts_as_long_over_a_change_of_the_clocks() {
        let night = daily("23:00", 6, "Europe/Berlin");
        assert_open_from_to(&night, "2026-03-28T22:00:00Z", "2026-03-29T04:00:00Z");
        assert_open_from_to(&night, "2026-10-24T21:00:00Z", "2026-10-25T03:00:00Z");
    }

    #[test]
    fn a_day_that_a_place_left_out_is_made_up_for() {
        // Samoa went from Thursday, the 29th, to Saturday, the 31st.
        let friday = [window(&[Weekday::Friday], "02:00", 1, "Pacific/Apia")];
        let next = next_opening(&friday, at("2011-12-30T09:00:00Z"));
        assert_eq!(next, Some(at("2011-12-30T12:00:00Z")));
    }

    #[test]
    fn of_several_windows_the_next_one_counts() {
        let windows = [
            window(&[Weekday::Sunday], "02:00", 4, "UTC"),
            window(&[Weekday::Saturday], "10:00", 1, "UTC"),
        ];
        let friday = at("2026-11-27T12:00:00Z");
        assert!(!is_open(&windows, friday));
        assert_eq!(
            next_opening(&windows, friday),
            Some(at("2026-11-28T10:00:00Z"))
        );
        assert!(is_open(&windows, at("2026-11-29T03:00:00Z")));
        assert!(!is_open(&[], friday));
        assert_eq!(next_opening(&[], friday), None);
    }
}
