//! How many orders an account may leave unpaid, and how many may be declined from one network: each holds stock for two
//! minutes, asks the provider about a card and, when it is declined, sends a mail. Whoever tries out stolen cards makes many of
//! them, and new accounts for them.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use chassis::http::Problem;
use http::StatusCode;
use time::OffsetDateTime;

/// Orders of an account within [`WINDOW`] that are pending or whose payment was declined or refused.
pub(crate) const MOST_UNPAID: i64 = 20;
/// Orders from one network within [`WINDOW`] whose payment was declined or refused: a company, or the customers of a mobile
/// carrier, may share an address. Those that are pending do not count, so that an outage of payments locks nobody out.
pub(crate) const MOST_DECLINED_IN_NETWORK: i64 = 100;
/// From the placing of an order on.
pub(crate) const WINDOW: Duration = Duration::from_secs(3600);

/// Whether the buyers of `network` share no more than a connection. A private address is one of the cluster's own: of a node
/// or a proxy that hides those of the buyers, who would all be one, and whose declined cards would close the whole shop.
pub(crate) fn tells_buyers_apart(network: IpAddr) -> bool {
    match network {
        IpAddr::V4(v4) => !(v4.is_private() || v4.is_link_local() || is_shared(v4)),
        IpAddr::V6(v6) => !v6.is_unique_local(),
    }
}

/// 100.64.0.0/10 (RFC 6598), from which some clusters give their nodes and pods addresses.
fn is_shared(v4: Ipv4Addr) -> bool {
    let [first, second, ..] = v4.octets();
    first == 100 && (64..128).contains(&second)
}

/// Unpaid orders of an account or a network within [`WINDOW`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unpaid {
    pub(crate) count: i64,
    /// When the first of them was placed.
    pub(crate) oldest: Option<OffsetDateTime>,
}

/// Whose unpaid orders are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Account,
    Network,
}

impl Of {
    fn most(self) -> i64 {
        match self {
            Self::Account => MOST_UNPAID,
            Self::Network => MOST_DECLINED_IN_NETWORK,
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Account => "this account",
            Self::Network => "this network address",
        }
    }
}

impl Unpaid {
    /// Whether one more may be placed `now`.
    ///
    /// # Errors
    /// 429 with the time after which the oldest counts no more.
    pub(crate) fn admits_one_more(self, of: Of, now: OffsetDateTime) -> Result<(), Problem> {
        if self.count < of.most() {
            return Ok(());
        }
        let over = self.oldest.map_or(now, |oldest| oldest + WINDOW) - now;
        let seconds = u16::try_from(over.whole_seconds()).unwrap_or(0).max(1);
        Err(Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_unpaid_orders",
            format!(
                "{} orders of {} were not paid within an hour. Try again in {} minutes.",
                self.count,
                of.in_words(),
                seconds.div_ceil(60)
            ),
        )
        .retry_after(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_the_cluster_is_nobodys() {
        let apart = |text: &str| tells_buyers_apart(text.parse().unwrap());
        assert!(apart("203.0.113.7") && apart("2001:db8::"));
        assert!(apart("100.128.0.1"));
        for node in [
            "10.244.0.1",
            "172.18.0.3",
            "192.168.1.2",
            "100.64.0.1",
            "169.254.1.1",
            "fd00::",
        ] {
            assert!(!apart(node), "{node}");
        }
    }

    #[test]
    fn the_twenty_first_waits_until_the_first_is_an_hour_old() {
        let oldest = OffsetDateTime::UNIX_EPOCH;
        let now = oldest + Duration::from_secs(3000);
        let unpaid = |count| Unpaid {
            count,
            oldest: Some(oldest),
        };
        assert!(unpaid(19).admits_one_more(Of::Account, now).is_ok());
        assert!(unpaid(99).admits_one_more(Of::Network, now).is_ok());
        assert!(unpaid(100).admits_one_more(Of::Network, now).is_err());
        let refused = unpaid(20).admits_one_more(Of::Account, now).unwrap_err();
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(
            refused.detail.contains("in 10 minutes"),
            "{}",
            refused.detail
        );
    }
}
