//! How often someone may try to log in, and to register. Counted per replica.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    num::NonZeroU32,
    time::Duration,
};

use axum::http::StatusCode;
use chassis::http::{ClientIp, Problem};
use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};

use crate::email_address::EmailAddress;

// At most 100 attempts of one client on one account in any hour (OWASP ASVS 4.0.3, 2.2.1): 40 at once and one more per
// minute. Each client has its own: a limit for all of them together would let anyone lock the owner out.
const PER_ADDRESS_BURST: NonZeroU32 = NonZeroU32::new(40).unwrap();
const PER_ADDRESS_EVERY: Duration = Duration::from_secs(60);

// One client may be a whole office. This stops the trying of one password on
// thousands of accounts from one machine, and nothing else.
const PER_CLIENT_BURST: NonZeroU32 = NonZeroU32::new(300).unwrap();
const PER_CLIENT_EVERY: Duration = Duration::from_millis(200);

// Every account costs a hash and a mail to an address that nobody has proved to be his.
const REGISTRATIONS_BURST: NonZeroU32 = NonZeroU32::new(60).unwrap();
const REGISTRATIONS_EVERY: Duration = Duration::from_secs(1);

/// The attempt must wait this long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Limited(pub(crate) Duration);

impl From<Limited> for Problem {
    fn from(Limited(wait): Limited) -> Self {
        let seconds = u16::try_from(wait.as_secs())
            .unwrap_or(u16::MAX)
            .saturating_add(1);
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limited",
            format!("Too many attempts. Try again in {seconds} s."),
        )
        .retry_after(seconds)
    }
}

/// The limits of log-in attempts, per client and per e-mail address of each client, and of registrations, per client.
pub(crate) struct Limits {
    addresses: Buckets,
    clients: Buckets,
    registrations: Buckets,
}

impl Limits {
    pub(crate) fn new() -> Self {
        Self {
            addresses: Buckets::new(PER_ADDRESS_EVERY, PER_ADDRESS_BURST),
            clients: Buckets::new(PER_CLIENT_EVERY, PER_CLIENT_BURST),
            registrations: Buckets::new(REGISTRATIONS_EVERY, REGISTRATIONS_BURST),
        }
    }

    /// Counts one attempt of `client` to log in to the account of `address`, existing or not.
    pub(crate) fn log_in(&self, client: ClientIp, address: &EmailAddress) -> Result<(), Limited> {
        self.clients.take(&client.network())?;
        self.addresses.take(&(client.network(), address.key()))
    }

    /// Counts one attempt of `client` to register.
    pub(crate) fn register(&self, client: ClientIp) -> Result<(), Limited> {
        self.registrations.take(&client.network())
    }
}

/// A fixed number of counters, so that memory is bounded whatever keys are sent: 65,536 at most, about 2 MB.
/// A key's counter is chosen with a random hash; two keys that share one share its allowance, and nobody can aim for that.
struct Buckets {
    limiter: DefaultKeyedRateLimiter<u16>,
    hash: RandomState,
}

impl Buckets {
    fn new(every: Duration, burst: NonZeroU32) -> Self {
        let quota = Quota::with_period(every)
            .expect("the periods above are not zero")
            .allow_burst(burst);
        Self {
            limiter: RateLimiter::keyed(quota),
            hash: RandomState::new(),
        }
    }

    fn take(&self, key: &impl Hash) -> Result<(), Limited> {
        let [a, b, ..] = self.hash.hash_one(key).to_be_bytes();
        self.limiter
            .check_key(&u16::from_be_bytes([a, b]))
            .map_err(|until| Limited(until.wait_time_from(DefaultClock::default().now())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> EmailAddress {
        EmailAddress::parse(text).unwrap()
    }

    fn client(text: &str) -> ClientIp {
        ClientIp(text.parse().unwrap())
    }

    #[test]
    fn one_account_is_protected_whatever_the_spelling_and_nobody_locks_its_owner_out() {
        let (limits, thief, owner) = (Limits::new(), client("192.0.2.7"), client("192.0.2.8"));
        for _ in 0..PER_ADDRESS_BURST.get() {
            assert_eq!(limits.log_in(thief, &address("ada@shop.example")), Ok(()));
        }
        let Err(Limited(wait)) = limits.log_in(thief, &address("ADA@shop.example")) else {
            panic!("the attempt after the last was let through");
        };
        assert!(
            wait > Duration::ZERO && wait <= PER_ADDRESS_EVERY,
            "{wait:?}"
        );
        assert_eq!(limits.log_in(thief, &address("bob@shop.example")), Ok(()));
        assert_eq!(limits.log_in(owner, &address("ada@shop.example")), Ok(()));
    }

    #[test]
    fn one_client_may_not_try_every_account() {
        let limits = Limits::new();
        let neighbour = client("2001:db8::ffff:2");
        let client = client("2001:db8::1");
        let refused = (0..2 * PER_CLIENT_BURST.get())
            .find(|n| {
                limits
                    .log_in(client, &address(&format!("a{n}@shop.example")))
                    .is_err()
            })
            .expect("a client is stopped at some time");
        assert!(
            refused >= PER_CLIENT_BURST.get(),
            "stopped too early: {refused}"
        );
        assert!(
            limits
                .log_in(neighbour, &address("ada@shop.example"))
                .is_err(),
            "same /64"
        );
        assert!(
            limits
                .log_in(
                    super::ClientIp("2001:db8:0:1::1".parse().unwrap()),
                    &address("ada@shop.example")
                )
                .is_ok()
        );
    }

    #[test]
    fn a_client_registers_sixty_accounts_at_once_and_then_waits() {
        let limits = Limits::new();
        let (client, other) = (client("192.0.2.7"), client("192.0.2.8"));
        let refused = (0..2 * REGISTRATIONS_BURST.get()).find(|_| limits.register(client).is_err());
        assert!(refused >= Some(60), "stopped too early: {refused:?}");
        let Err(Limited(wait)) = limits.register(client) else {
            panic!("the registration after the last was let through");
        };
        assert!(wait <= REGISTRATIONS_EVERY, "{wait:?}");
        assert_eq!(limits.register(other), Ok(()));
        assert_eq!(
            limits.log_in(client, &address("ada@shop.example")),
            Ok(()),
            "log-ins are counted by themselves"
        );
    }

    #[test]
    fn memory_is_bounded() {
        let buckets = Buckets::new(PER_ADDRESS_EVERY, PER_ADDRESS_BURST);
        for n in 0..300_000_u32 {
            let _ = buckets.take(&n);
        }
        assert!(buckets.limiter.len() <= 65_536);
        assert!(buckets.limiter.len() > 60_000, "the hash does not spread");
    }
}
