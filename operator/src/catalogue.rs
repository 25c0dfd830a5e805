//! The five services as the operator knows them: by what they need and whom they talk to, never by their code.
//! Environment, Secrets, network policies and broker permissions all follow from here.

use std::ops::{Index, IndexMut};

/// The API port of every service.
pub const HTTP_PORT: i32 = 8080;
/// The administration port of every service: probes, metrics, dead letters. Never exposed.
pub const ADMIN_PORT: i32 = 9090;
/// PostgreSQL.
pub const DATABASE_PORT: i32 = 5432;
/// NATS.
pub const BROKER_PORT: i32 = 4222;
/// The stream of all events.
pub const STREAM: &str = "SHOP";
/// Probes and figures of the broker: for the kubelet and the operator.
pub const MONITORING_PORT: i32 = 8222;
/// The first account of a shop unless `ADMIN_EMAIL` of users says otherwise.
pub const ADMIN_EMAIL: &str = "admin@shop.example";

/// A service of the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceName {
    /// Accounts, logins, tokens.
    Users,
    /// The catalogue.
    Search,
    /// Carts, stock, orders.
    Orders,
    /// Payments and the ledger.
    Payments,
    /// Mails.
    Email,
}

impl ServiceName {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 5] = [
        Self::Users,
        Self::Search,
        Self::Orders,
        Self::Payments,
        Self::Email,
    ];

    /// The name in images, objects, databases and logins.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Search => "search",
            Self::Orders => "orders",
            Self::Payments => "payments",
            Self::Email => "email",
        }
    }

    /// What the service needs and whom it talks to.
    pub fn descriptor(self) -> &'static Descriptor {
        match self {
            Self::Users => &USERS,
            Self::Search => &SEARCH,
            Self::Orders => &ORDERS,
            Self::Payments => &PAYMENTS,
            Self::Email => &EMAIL,
        }
    }

    /// The services that call this one.
    pub fn callers(self) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |caller| {
            caller
                .descriptor()
                .calls
                .iter()
                .any(|call| call.service == self)
        })
    }
}

impl std::fmt::Display for ServiceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a service needs and whom it talks to.
#[derive(Debug)]
pub struct Descriptor {
    /// Anyone may call its API. Otherwise only the services that name it in `calls` may.
    pub public: bool,
    /// The services it calls.
    pub calls: &'static [Call],
    /// Keys that are generated once and kept in the Secret `<shop>-<service>-keys`.
    pub keys: &'static [Key],
    /// Plain settings.
    pub settings: &'static [(&'static str, &'static str)],
    /// Folders it may write to, each an emptyDir.
    pub writable: &'static [WritableDir],
    /// It sends mail, so it gets the SMTP settings of the Shop.
    pub sends_mail: bool,
    /// The kinds of events of others that it subscribes to. It has a durable consumer for each.
    pub subscribes: &'static [&'static str],
    /// It brings the stream of events to the Shop's limits, and may therefore change it. One service does, the one that is
    /// least exposed: whoever may change the stream may empty it.
    pub limits_stream: bool,
}

impl Descriptor {
    /// The durable consumers of `service`, each with the kind of event that it is for. The services name them so
    /// (`durable_name` of the chassis): a name must not have dots.
    pub fn consumers(&self, service: ServiceName) -> impl Iterator<Item = (String, &'static str)> {
        self.subscribes
            .iter()
            .map(move |kind| (format!("{service}-{}", kind.replace('.', "-")), *kind))
    }
}

/// A call from one service to another.
#[derive(Debug)]
pub struct Call {
    /// Whom.
    pub service: ServiceName,
    /// The variable that holds the base URL.
    pub url: &'static str,
    /// The variable that holds the bearer token, and the callee's generated key that it is.
    pub token: Option<(&'static str, &'static str)>,
}

/// A generated key: the variable's name, which is also the key in the Secret.
#[derive(Debug)]
pub struct Key {
    /// The name.
    pub name: &'static str,
    /// What it looks like.
    pub shape: KeyShape,
}

/// What a generated key looks like.
#[derive(Clone, Copy, Debug)]
pub enum KeyShape {
    /// 64 hex digits: 32 random bytes.
    Seed,
    /// 32 letters and digits: 190 bits.
    Password,
}

/// A folder that a service may write to.
#[derive(Debug)]
pub struct WritableDir {
    /// The variable that names it.
    pub variable: &'static str,
    /// Where it is mounted.
    pub path: &'static str,
    /// The volume's name.
    pub volume: &'static str,
}

const VERIFIES_TOKENS: Call = Call {
    service: ServiceName::Users,
    url: "USERS_URL",
    token: None,
};

static USERS: Descriptor = Descriptor {
    public: true,
    calls: &[],
    keys: &[
        Key {
            name: "SIGNING_SEED",
            shape: KeyShape::Seed,
        },
        Key {
            name: "ADMIN_PASSWORD",
            shape: KeyShape::Password,
        },
    ],
    settings: &[("ADMIN_EMAIL", ADMIN_EMAIL)],
    writable: &[],
    sends_mail: false,
    subscribes: &[],
    limits_stream: false,
};

static SEARCH: Descriptor = Descriptor {
    public: true,
    calls: &[VERIFIES_TOKENS],
    keys: &[],
    settings: &[],
    writable: &[WritableDir {
        variable: "INDEX_DIR",
        path: "/var/lib/search",
        volume: "index",
    }],
    sends_mail: false,
    subscribes: &["shop.orders.stock.changed.v1"],
    limits_stream: false,
};

static ORDERS: Descriptor = Descriptor {
    public: true,
    calls: &[
        VERIFIES_TOKENS,
        Call {
            service: ServiceName::Payments,
            url: "PAYMENTS_URL",
            token: Some(("PAYMENTS_TOKEN", "API_TOKEN")),
        },
    ],
    keys: &[],
    settings: &[],
    writable: &[],
    sends_mail: false,
    subscribes: &[
        "shop.search.product.upserted.v1",
        "shop.search.product.removed.v1",
        "shop.payments.payment.authorised.v1",
        "shop.payments.payment.captured.v1",
        "shop.payments.payment.failed.v1",
        "shop.payments.payment.refunded.v1",
        "shop.email.email.sent.v1",
        "shop.email.email.bounced.v1",
    ],
    limits_stream: false,
};

static PAYMENTS: Descriptor = Descriptor {
    public: false,
    calls: &[],
    keys: &[Key {
        name: "API_TOKEN",
        shape: KeyShape::Password,
    }],
    settings: &[],
    writable: &[],
    sends_mail: false,
    subscribes: &[],
    limits_stream: true,
};

static EMAIL: Descriptor = Descriptor {
    public: true,
    calls: &[VERIFIES_TOKENS],
    keys: &[],
    settings: &[],
    writable: &[],
    sends_mail: true,
    subscribes: &[
        "shop.users.user.registered.v1",
        "shop.orders.order.confirmed.v1",
        "shop.orders.order.cancelled.v1",
        "shop.orders.order.refunded.v1",
    ],
    limits_stream: false,
};

macro_rules! reserved_env {
    ($($name:literal),+ $(,)?) => {
        /// Variables that the operator sets and a Shop must not.
        pub const RESERVED_ENV: &[&str] = &[$($name),+];
        /// The same as an admission rule.
        pub const RESERVED_ENV_RULE: &str = concat!("!(self in [''", $(", '", $name, "'",)+ "])");
    };
}

reserved_env!(
    "HTTP_ADDR",
    "ADMIN_ADDR",
    "DATABASE_URL",
    "DATABASE_URL_FILE",
    "NATS_URL",
    "NATS_URL_FILE",
    "EVENTS_MAX_BYTES",
    "USERS_URL",
    "PAYMENTS_URL",
    "PAYMENTS_TOKEN",
    "PAYMENTS_TOKEN_FILE",
    "API_TOKEN",
    "API_TOKEN_FILE",
    "SIGNING_SEED",
    "SIGNING_SEED_FILE",
    "ADMIN_PASSWORD",
    "ADMIN_PASSWORD_FILE",
    "INDEX_DIR",
    "SMTP_HOST",
    "SMTP_PORT",
    "SMTP_TLS",
    "SMTP_USERNAME",
    "SMTP_PASSWORD",
    "SMTP_PASSWORD_FILE",
    "MAIL_FROM",
);

/// What the admission rule says.
pub const RESERVED_ENV_MESSAGE: &str =
    "this name is set by the operator from other fields of the Shop and cannot be set here";

/// One value for each service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PerService<T>([T; 5]);

impl<T> PerService<T> {
    /// Makes the value of each service.
    pub fn new(make: impl FnMut(ServiceName) -> T) -> Self {
        Self(ServiceName::ALL.map(make))
    }

    /// The services with their values, in the order of [`ServiceName::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (ServiceName, &T)> {
        ServiceName::ALL.into_iter().zip(&self.0)
    }
}

impl<T> From<[T; 5]> for PerService<T> {
    /// Takes values in the order of [`ServiceName::ALL`].
    fn from(values: [T; 5]) -> Self {
        Self(values)
    }
}

impl<T> Index<ServiceName> for PerService<T> {
    type Output = T;

    fn index(&self, service: ServiceName) -> &T {
        &self.0[service as usize]
    }
}

impl<T> IndexMut<ServiceName> for PerService<T> {
    fn index_mut(&mut self, service: ServiceName) -> &mut T {
        &mut self.0[service as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_all_is_the_order_of_the_enum() {
        for (position, service) in ServiceName::ALL.into_iter().enumerate() {
            assert_eq!(service as usize, position);
        }
    }

    #[test]
    fn payments_is_called_by_orders_alone() {
        assert_eq!(
            ServiceName::Payments.callers().collect::<Vec<_>>(),
            [ServiceName::Orders]
        );
    }

    #[test]
    fn every_kind_that_is_subscribed_to_is_in_the_contracts_of_its_owner() {
        for service in ServiceName::ALL {
            for (consumer, kind) in service.descriptor().consumers(service) {
                let (owner, event) = kind
                    .strip_prefix("shop.")
                    .and_then(|rest| rest.split_once('.'))
                    .expect(kind);
                assert!(
                    ServiceName::ALL.iter().any(|s| s.as_str() == owner),
                    "{kind}"
                );
                let schema = format!(
                    "{}/../contracts/events/{event}.schema.json",
                    env!("CARGO_MANIFEST_DIR")
                );
                assert!(std::path::Path::new(&schema).exists(), "{schema}");
                assert!(!consumer.contains('.'), "{consumer}");
            }
        }
    }

    #[test]
    fn one_service_limits_the_stream_and_strangers_do_not_reach_it() {
        let limits = |s: &ServiceName| s.descriptor().limits_stream;
        let limiting: Vec<_> = ServiceName::ALL.into_iter().filter(limits).collect();
        assert_eq!(limiting, [ServiceName::Payments]);
        assert!(!ServiceName::Payments.descriptor().public);
    }

    #[test]
    fn every_token_of_a_call_is_a_generated_key_of_the_callee() {
        for service in ServiceName::ALL {
            for call in service.descriptor().calls {
                if let Some((_, key)) = call.token {
                    assert!(
                        call.service.descriptor().keys.iter().any(|k| k.name == key),
                        "{key} of {}",
                        call.service
                    );
                }
            }
        }
    }

    #[test]
    fn what_a_descriptor_sets_is_reserved_unless_it_is_a_plain_setting() {
        for service in ServiceName::ALL {
            let descriptor = service.descriptor();
            let names = descriptor
                .calls
                .iter()
                .flat_map(|call| {
                    std::iter::once(call.url).chain(call.token.map(|(variable, _)| variable))
                })
                .chain(descriptor.keys.iter().map(|key| key.name))
                .chain(descriptor.writable.iter().map(|dir| dir.variable));
            for name in names {
                assert!(RESERVED_ENV.contains(&name), "{name}");
            }
        }
    }
}
