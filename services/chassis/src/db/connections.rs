//! How many connections one process may have to its database.

use std::str::FromStr;

/// The setting `DATABASE_MAX_CONNECTIONS`: the bound on all connections of one process, those outside of the pool
/// included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MaxConnections(usize);

impl Default for MaxConnections {
    /// A database on few cores does not get faster with more, and a handful of replicas stays far below its limit.
    fn default() -> Self {
        Self(8)
    }
}

impl MaxConnections {
    /// What is left for the pool when `listeners` connections are kept outside of it: at least one.
    pub(super) fn for_pool(self, listeners: usize) -> usize {
        self.0.saturating_sub(listeners).max(1)
    }
}

impl FromStr for MaxConnections {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(number @ 2..=64) => Ok(Self(number)),
            Ok(_) | Err(_) => Err("give a whole number from 2 to 64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_from_2_to_64_is_taken_and_nothing_else() {
        assert_eq!("2".parse(), Ok(MaxConnections(2)));
        assert_eq!("64".parse(), Ok(MaxConnections(64)));
        for wrong in ["1", "65", "0", "-2", "8.0", "eight", " 8"] {
            assert!(wrong.parse::<MaxConnections>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn listeners_come_out_of_the_same_number_and_leave_the_pool_one() {
        assert_eq!(MaxConnections::default().for_pool(0), 8);
        assert_eq!(MaxConnections::default().for_pool(1), 7);
        assert_eq!(MaxConnections(2).for_pool(1), 1);
        assert_eq!(MaxConnections(2).for_pool(2), 1);
    }
}
