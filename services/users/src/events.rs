//! What this service says.

use chassis::Event;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::{Uuid, uuid};

/// An account was made.
#[derive(Serialize, JsonSchema)]
pub(crate) struct UserRegistered {
    pub(crate) user_id: Uuid,
    /// As the person typed it, trimmed, its domain in lower case.
    pub(crate) email: String,
    /// How the person wants to be addressed.
    pub(crate) name: String,
}

impl Event for UserRegistered {
    const SERVICE: &'static str = "users";
    const NAME: &'static str = "user.registered";

    fn examples() -> Vec<Self> {
        vec![
            Self {
                user_id: uuid!("0192d5a4-7c1e-7b3a-9c55-2f6d1e8a4b01"),
                email: "ada@shop.example".to_owned(),
                name: "Ada Lovelace".to_owned(),
            },
            Self {
                user_id: uuid!("0192d5a4-8f02-7d44-8a17-6be0c9d35f72"),
                email: "Jose.Garcia+Shop@mail.example".to_owned(),
                name: "José García".to_owned(),
            },
        ]
    }
}
