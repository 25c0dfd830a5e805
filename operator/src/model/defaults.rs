//! What a pod requests and is limited to where the Shop does not say. Requests are small, so that a whole shop fits on a
//! laptop, and the limit is on memory alone: a limit on CPU only slows.

use crate::{
    api::{AmountsSpec, ResourcesSpec},
    quantity::{bytes, thousandths},
};

/// The requests of CPU and memory and the limit of memory of one kind of pod.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    cpu: &'static str,
    memory: &'static str,
    memory_limit: &'static str,
}

/// A pod of a service, and its migration.
pub const SERVICE: Defaults = Defaults {
    cpu: "20m",
    memory: "32Mi",
    memory_limit: "256Mi",
};

/// A pod of the process that hosts the built-in services.
pub const HOST: Defaults = Defaults {
    cpu: "100m",
    memory: "96Mi",
    memory_limit: "1Gi",
};

/// A pod of a service that is autoscaled. The autoscaler counts in percent of the request: 80 % of 20m would be 16m, so that
/// a pod that does next to nothing would ask for another one.
pub const AUTOSCALED_SERVICE: Defaults = Defaults {
    cpu: "100m",
    ..SERVICE
};

/// A database.
pub const DATABASE: Defaults = Defaults {
    cpu: "20m",
    memory: "48Mi",
    memory_limit: "512Mi",
};

/// The broker.
pub const BROKER: Defaults = Defaults {
    cpu: "20m",
    memory: "32Mi",
    memory_limit: "256Mi",
};

impl Defaults {
    /// Fills in what is not named. A default gives way: whoever limits less than the default request, or requests more than
    /// the default limit, gets what was named as both.
    pub fn fill(self, named: Option<&ResourcesSpec>) -> ResourcesSpec {
        let named = named.cloned().unwrap_or_default();
        let requests = named.requests.unwrap_or_default();
        let limits = named.limits.unwrap_or_default();
        let unless = |named: &Option<String>, beats: &dyn Fn(&str) -> bool, default: &str| {
            let beating = named.as_deref().filter(|amount| beats(amount));
            beating.unwrap_or(default).to_owned()
        };
        let cpu = unless(
            &limits.cpu,
            &|limit| thousandths(limit) < thousandths(self.cpu),
            self.cpu,
        );
        let memory = unless(
            &limits.memory,
            &|limit| bytes(limit) < bytes(self.memory),
            self.memory,
        );
        let memory_limit = unless(
            &requests.memory,
            &|request| bytes(request) > bytes(self.memory_limit),
            self.memory_limit,
        );
        ResourcesSpec {
            requests: Some(AmountsSpec {
                cpu: requests.cpu.or(Some(cpu)),
                memory: requests.memory.or(Some(memory)),
            }),
            limits: Some(AmountsSpec {
                cpu: limits.cpu,
                memory: limits.memory.or(Some(memory_limit)),
            }),
        }
    }
}
