//! An order, as the service orders tells its story.

mod verdict;

use hyper::{Method, StatusCode};
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shop_operator::api::Shop;
use uuid::Uuid;

pub use verdict::{Verdict, verdict};

use crate::{administration::Administration, cluster::Cluster, failure::Failure, place::Place};

/// The service that knows the orders.
pub const ORDERS: &str = "orders";

/// What happened to an order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Story {
    /// Its id.
    pub order_id: Uuid,
    /// What people call it.
    pub number: String,
    /// `pending`, `confirmed`, `paid`, `cancelled`.
    pub state: String,
    /// The oldest first.
    pub entries: Vec<Entry>,
}

/// One thing that happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Who did it, or failed to.
    pub service: String,
    /// What was to be done.
    pub step: String,
    /// `done`, `failed`, `retrying`, `compensated`, `info`.
    pub outcome: String,
    /// In plain words.
    pub detail: String,
    /// Which try it was, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The trace that it was a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

impl Story {
    /// Asks the service orders, at its administration port, for an order by its id or its number.
    ///
    /// # Errors
    /// When the service cannot be asked, or does not know the order.
    pub async fn ask(cluster: &Cluster, shop: &Shop, order: &str) -> Result<Self, Failure> {
        let is_name = !order.is_empty() && order.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        if !is_name {
            return Err(Failure::Refused(format!(
                "'{order}' is neither the id of an order nor its number, which has 8 digits from 0 to 9 and A to F"
            )));
        }
        let place = Place::named(shop, ORDERS)?;
        let orders = Administration { cluster, place };
        let answer = orders
            .ask(Method::GET, &format!("/orders/{order}/timeline"))
            .await?;
        match (answer.status, answer.is_problem()) {
            (StatusCode::NOT_FOUND, true) => {
                Err(Failure::Absent(format!("{ORDERS} knows no order {order}")))
            }
            (StatusCode::NOT_FOUND, false) => Err(Failure::Refused(format!(
                "the {ORDERS} that runs does not tell the story of an order at its administration port; a newer version does"
            ))),
            _ => orders.read(&answer),
        }
    }

    /// The traces that it was a part of, the first one first.
    pub fn traces(&self) -> Vec<&str> {
        let mut traces = Vec::new();
        for trace in self
            .entries
            .iter()
            .filter_map(|entry| entry.trace_id.as_deref())
        {
            if !traces.contains(&trace) {
                traces.push(trace);
            }
        }
        traces
    }
}

/// A trace is named by 32 hexadecimal digits, an order never is.
pub fn is_trace(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit())
}
