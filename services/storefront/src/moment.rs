//! Times as people read them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::texts::Texts;

/// A moment in words and for machines, in UTC: a page is made for whoever asks, wherever that is.
pub(crate) struct Moment(OffsetDateTime);

impl Moment {
    pub(crate) fn new(at: OffsetDateTime) -> Self {
        Self(at.to_offset(time::UtcOffset::UTC))
    }

    /// `28 November 2026, 16:05 UTC`
    pub(crate) fn shown(&self, texts: &Texts) -> String {
        let month = texts.months[usize::from(u8::from(self.0.month())) - 1];
        let (day, year) = (self.0.day(), self.0.year());
        let (hour, minute) = (self.0.hour(), self.0.minute());
        let dot = texts.after_day;
        format!("{day}{dot} {month} {year}, {hour:02}:{minute:02} UTC")
    }

    /// `16:05:09`
    pub(crate) fn clock(&self) -> String {
        let format = format_description!("[hour]:[minute]:[second]");
        self.0.format(format).unwrap_or_default()
    }

    /// For `<time datetime>`.
    pub(crate) fn machine(&self) -> String {
        self.0.format(&Rfc3339).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::texts::{ENGLISH, GERMAN};

    #[test]
    fn a_moment_is_told_in_utc_whatever_its_offset() {
        let moment = Moment::new(datetime!(2026-12-01 00:05:09 +2));
        assert_eq!(moment.shown(&ENGLISH), "30 November 2026, 22:05 UTC");
        assert_eq!(moment.shown(&GERMAN), "30. November 2026, 22:05 UTC");
        assert_eq!(moment.clock(), "22:05:09");
        assert_eq!(moment.machine(), "2026-11-30T22:05:09Z");
    }
}
