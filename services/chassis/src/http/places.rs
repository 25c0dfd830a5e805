//! Places for connections: so many in all, and so many for each client, that none can take those of the others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::client_ip::{ClientIp, TrustedProxies};

/// Connections of one port at once. The next one waits in the kernel's queue until another ends.
const CONNECTIONS: usize = 1024;
/// Connections of one client at once; the next one is closed. Trusted proxies have as many as they want: they speak for
/// many clients.
const PER_CLIENT: usize = CONNECTIONS / 4;

/// Places for what clients hold: connections, or streams.
#[derive(Clone)]
pub struct Places {
    all: Arc<Semaphore>,
    per_client: usize,
    clients: Arc<Mutex<HashMap<IpAddr, usize>>>,
    proxies: TrustedProxies,
}

/// A place for any client.
pub(super) struct Free(OwnedSemaphorePermit);

/// A place that is taken. Dropped, it is free again.
pub struct Taken {
    _place: OwnedSemaphorePermit,
    client: Option<IpAddr>,
    clients: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Places {
    /// So many places, and so many of them for one client.
    pub fn new(all: usize, per_client: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all)),
            per_client,
            clients: Arc::default(),
            proxies: TrustedProxies::default(),
        }
    }

    /// Those of a port. `proxies` have as many as they want.
    pub(super) fn of_port(proxies: TrustedProxies) -> Self {
        Self {
            proxies,
            ..Self::new(CONNECTIONS, PER_CLIENT)
        }
    }

    /// A place for this client now, unless all are taken or it has as many as it may have.
    pub fn try_take(&self, ClientIp(client): ClientIp) -> Option<Taken> {
        let place = self.all.clone().try_acquire_owned().ok()?;
        self.take(Free(place), client)
    }

    /// Waits for a place.
    pub(super) async fn free(&self) -> Free {
        let place = self.all.clone().acquire_owned().await;
        // Fails only when the semaphore is closed, which nobody does.
        Free(place.expect("a semaphore that stays open"))
    }

    /// Gives a place to whoever connected from `peer`; `None` if that client has as many as it may have.
    pub(super) fn take(&self, Free(place): Free, peer: IpAddr) -> Option<Taken> {
        let client = (!self.proxies.contains(peer)).then(|| ClientIp(peer).network());
        if let Some(client) = client {
            let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            let count = clients.entry(client).or_default();
            if *count >= self.per_client {
                return None;
            }
            *count += 1;
        }
        Some(Taken {
            _place: place,
            client,
            clients: self.clients.clone(),
        })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let Some(client) = self.client else { return };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = clients.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_client_has_a_quarter_of_the_places_and_a_proxy_has_all() {
        let places = Places::of_port("10.0.0.1".parse().unwrap());
        let (greedy, other, proxy): (IpAddr, IpAddr, IpAddr) = (
            [192, 0, 2, 1].into(),
            [192, 0, 2, 2].into(),
            [10, 0, 0, 1].into(),
        );
        let mut held = vec![];
        for _ in 0..PER_CLIENT {
            held.extend(places.take(places.free().await, greedy));
        }
        assert_eq!(held.len(), PER_CLIENT);
        assert!(places.take(places.free().await, greedy).is_none());
        assert!(places.take(places.free().await, other).is_some());
        held.pop();
        assert!(
            places.take(places.free().await, greedy).is_some(),
            "one is free again"
        );
        held.clear();
        for _ in 0..CONNECTIONS {
            held.extend(places.take(places.free().await, proxy));
        }
        assert_eq!(held.len(), CONNECTIONS);
        held.clear();
        let left = places.clients.lock().unwrap().len();
        assert_eq!(left, 0, "who has no connection takes no memory");
    }

    #[test]
    fn whoever_does_not_wait_is_told_that_there_is_no_place() {
        let client = |last| ClientIp([192, 0, 2, last].into());
        let places = Places::new(3, 2);
        let held = [1, 1, 2].map(|last| places.try_take(client(last)));
        assert!(held.iter().all(Option::is_some));
        assert!(places.try_take(client(3)).is_none(), "all are taken");
        drop(held);
        let _two = [1, 1].map(|last| places.try_take(client(last)));
        assert!(places.try_take(client(1)).is_none(), "it has two");
        assert!(places.try_take(client(2)).is_some());
    }
}
