//! A Lease as Kubernetes' own controllers use it. It may be taken from its holder when it has not changed for its whole
//! duration *while we looked on*: the clocks of two machines are never compared.

use std::time::{Duration, Instant};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};

use crate::naming::labels::OPERATOR;

/// One Lease, from the side of one who wants it.
pub struct LeaseLock {
    leases: Api<Lease>,
    name: String,
    identity: String,
    duration: Duration,
    watched: Watched,
}

/// Who holds a Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// We do, from now on for its whole duration.
    Us,
    /// Somebody else, by the identity that stands in the Lease.
    Other(String),
}

impl LeaseLock {
    /// The Lease `name` in `namespace`, wanted by `identity`, good for `duration` (whole seconds) after each renewal.
    pub fn new(
        client: Client,
        namespace: &str,
        name: &str,
        identity: &str,
        duration: Duration,
    ) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: identity.to_owned(),
            duration,
            watched: Watched::default(),
        }
    }

    /// Takes the Lease or renews it, unless somebody else holds it. To be called often enough to see it change.
    ///
    /// # Errors
    /// What the API server answers.
    pub async fn try_hold(&mut self) -> Result<Holder, kube::Error> {
        loop {
            let found = self.leases.get_opt(&self.name).await?;
            let spec = found.as_ref().and_then(|lease| lease.spec.clone());
            let spec = spec.unwrap_or_default();
            if let Some(other) = self.watched.holder(&spec, &self.identity, Instant::now()) {
                return Ok(Holder::Other(other));
            }
            let spec = held(spec, &self.identity, self.duration, Timestamp::now());
            match self.write(found, spec).await {
                Ok(()) => return Ok(Holder::Us),
                // Somebody wrote since we read: what they wrote is to be read.
                Err(kube::Error::Api(status))
                    if status.is_conflict() || status.is_already_exists() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives the Lease back, if it is ours.
    ///
    /// # Errors
    /// What the API server answers. "Conflict" means that somebody took it meanwhile.
    pub async fn release(&mut self) -> Result<(), kube::Error> {
        let found = self.leases.get_opt(&self.name).await?;
        let spec = found.as_ref().and_then(|lease| lease.spec.clone());
        let spec = spec.unwrap_or_default();
        if spec.holder_identity.as_deref() != Some(&*self.identity) {
            return Ok(());
        }
        let free = LeaseSpec {
            lease_transitions: spec.lease_transitions,
            ..LeaseSpec::default()
        };
        self.write(found, free).await
    }

    /// The version that was read goes along, so that of two who write only one succeeds.
    async fn write(&self, found: Option<Lease>, spec: LeaseSpec) -> Result<(), kube::Error> {
        let params = PostParams {
            field_manager: Some(OPERATOR.into()),
            ..PostParams::default()
        };
        match found {
            Some(lease) => {
                let lease = Lease {
                    spec: Some(spec),
                    ..lease
                };
                self.leases.replace(&self.name, &params, &lease).await?;
            }
            None => {
                let lease = Lease {
                    metadata: ObjectMeta {
                        name: Some(self.name.clone()),
                        ..ObjectMeta::default()
                    },
                    spec: Some(spec),
                };
                self.leases.create(&params, &lease).await?;
            }
        }
        Ok(())
    }
}

/// A Lease as it was when we last saw it change, and when that was by our own clock.
#[derive(Default)]
struct Watched(Option<(LeaseSpec, Instant)>);

impl Watched {
    /// Who other than `identity` holds the Lease, of which `spec` was just read; none when it may be taken.
    fn holder(&mut self, spec: &LeaseSpec, identity: &str, now: Instant) -> Option<String> {
        let since = match &self.0 {
            Some((seen, since)) if seen == spec => *since,
            Some(_) | None => {
                self.0 = Some((spec.clone(), now));
                now
            }
        };
        let other = spec.holder_identity.as_ref();
        let other = other.filter(|holder| !holder.is_empty() && *holder != identity)?;
        let promised = u64::try_from(spec.lease_duration_seconds.unwrap_or(0)).unwrap_or(0);
        (now < since + Duration::from_secs(promised)).then(|| other.clone())
    }
}

/// The Lease as its holder writes it.
fn held(before: LeaseSpec, identity: &str, duration: Duration, now: Timestamp) -> LeaseSpec {
    let renews = before.holder_identity.as_deref() == Some(identity);
    let (acquire_time, lease_transitions) = match renews {
        true => (before.acquire_time, before.lease_transitions),
        false => (
            Some(MicroTime(now)),
            Some(before.lease_transitions.unwrap_or(0).saturating_add(1)),
        ),
    };
    LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: i32::try_from(duration.as_secs()).ok(),
        acquire_time,
        lease_transitions,
        renew_time: Some(MicroTime(now)),
        ..LeaseSpec::default()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::SignedDuration;

    use super::*;

    const DURATION: Duration = Duration::from_secs(15);

    fn lease_of(holder: &str, renewed: Timestamp) -> LeaseSpec {
        held(LeaseSpec::default(), holder, DURATION, renewed)
    }

    #[test]
    fn a_lease_that_stays_as_it_is_may_be_taken_after_its_duration_whatever_its_clock_says() {
        for skew in [-3600, 0, 3600] {
            let lease = lease_of("other", Timestamp::now() + SignedDuration::from_secs(skew));
            let mut watched = Watched::default();
            let start = Instant::now();
            let other = Some("other".to_owned());
            assert_eq!(watched.holder(&lease, "us", start), other);
            let almost = start + DURATION - Duration::from_millis(1);
            assert_eq!(watched.holder(&lease, "us", almost), other, "{skew}");
            assert_eq!(watched.holder(&lease, "us", start + DURATION), None);
        }
    }

    #[test]
    fn a_lease_that_changes_is_held_however_old_its_times_are() {
        let mut watched = Watched::default();
        let mut now = Instant::now();
        for second in 0..100 {
            let lease = lease_of(
                "other",
                Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second),
            );
            now += DURATION - Duration::from_secs(1);
            assert!(watched.holder(&lease, "us", now).is_some(), "{second}");
        }
    }

    #[test]
    fn a_lease_without_a_holder_or_with_us_is_nobody_elses() {
        let now = Instant::now();
        let ours = lease_of("us", Timestamp::now());
        assert_eq!(Watched::default().holder(&ours, "us", now), None);
        let free = LeaseSpec::default();
        assert_eq!(Watched::default().holder(&free, "us", now), None);
        // Other programs give back by an empty name.
        let free = lease_of("", Timestamp::now());
        assert_eq!(Watched::default().holder(&free, "us", now), None);
    }

    #[test]
    fn a_renewal_keeps_when_it_was_taken_and_a_new_holder_counts() {
        let (first, later) = (Timestamp::UNIX_EPOCH, Timestamp::now());
        let taken = lease_of("a", first);
        assert_eq!(taken.lease_transitions, Some(1));
        let renewed = held(taken.clone(), "a", DURATION, later);
        assert_eq!(renewed.acquire_time, Some(MicroTime(first)));
        assert_eq!(renewed.renew_time, Some(MicroTime(later)));
        assert_eq!(renewed.lease_transitions, Some(1));
        let next = held(renewed, "b", DURATION, later);
        assert_eq!(next.acquire_time, Some(MicroTime(later)));
        assert_eq!(next.lease_transitions, Some(2));
    }
}
