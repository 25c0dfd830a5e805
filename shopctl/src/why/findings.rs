//! What the status says is wrong, ordered. Nothing is added to the operator's sentences.

use serde::Serialize;
use shop_operator::{
    api::{BlockedBy, Phase, ServiceStatus, Shop},
    facts::broker::is_nearly_full,
    naming::names,
};

use crate::{
    shop::{self, Truth, condition, truth},
    status,
};

const DATABASES: &str = "databases";

/// Something that the status says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What it is about: `service orders`, `databases`, `broker`, `Shop demo`.
    pub object: String,
    /// How that is: a phase, or `not ready`.
    pub state: &'static str,
    /// The operator's word for it, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The operator's sentence.
    pub message: String,
    /// The object where it is seen, since when, and what to do next, where the operator says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<BlockedBy>,
    /// What else says the same, because it waits for this.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub holds_up: Vec<String>,
    /// It keeps the Shop from being Ready; otherwise it is only worth a word.
    pub wrong: bool,
    #[serde(skip)]
    rank: Rank,
}

/// What comes first: what needs help before what needs time, the deeper before what stands on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    NotSeen,
    /// The operator itself finds it the most urgent.
    Named,
    NeedsHelp,
    Backend,
    NeedsTime,
    Remark,
}

/// What the status says about the Shop, or about one service.
pub fn findings(shop: &Shop, service: Option<&str>) -> Vec<Finding> {
    let backends = [(DATABASES, "DatabasesReady"), ("broker", "BrokerReady")];
    let backends = backends
        .into_iter()
        .filter_map(|(object, kind)| of_backend(shop, object, kind));
    let services = shop::services(shop).iter().filter_map(of_service);
    let mut all = joined(backends.chain(services));
    name_the_most_urgent(shop, &mut all);
    all.extend(unseen(shop));
    all.extend(shop::services(shop).iter().flat_map(edited));
    all.extend(remark(shop, "Ignored", "says what has no effect"));
    all.extend(remark(shop, "Weakened", "takes protection away"));
    all.extend(remark(shop, "Unmonitored", "lets nobody find its metrics"));
    all.sort_by_key(|finding| finding.rank);
    if let Some(service) = service {
        let (whole, itself) = (object_of_shop(shop), object_of(service));
        all.retain(|finding| {
            [&whole, &itself].contains(&&finding.object)
                || finding.holds_up.contains(&itself)
                || is_of_its_database(shop, service, finding)
        });
    }
    all
}

/// Its pods may run on while its database is away; the sentence on databases says which is.
fn is_of_its_database(shop: &Shop, service: &str, finding: &Finding) -> bool {
    let shop = shop.metadata.name.as_deref().unwrap_or_default();
    let database = names::database(shop, &service.into());
    finding.object == DATABASES && finding.message.contains(&database)
}

fn object_of(service: &str) -> String {
    format!("service {service}")
}

fn object_of_shop(shop: &Shop) -> String {
    let name = shop.metadata.name.as_deref().unwrap_or_default();
    format!("Shop {name}")
}

fn of_backend(shop: &Shop, object: &str, kind: &str) -> Option<Finding> {
    let condition = condition(shop, kind)?;
    let filled = shop.status.as_ref()?.broker.as_ref();
    let is_full = object == "broker" && filled.is_some_and(|b| is_nearly_full(b.filled_percent));
    let (state, rank) = match truth(condition) {
        Truth::No => ("not ready", Rank::Backend),
        Truth::Unknown => ("unknown", Rank::Backend),
        // It says more than that all is well.
        Truth::Yes if condition.reason != "Ready" || is_full => ("ready", Rank::Remark),
        Truth::Yes => return None,
    };
    Some(Finding {
        object: object.into(),
        state,
        reason: Some(condition.reason.clone()),
        message: condition.message.clone(),
        blocked_by: None,
        holds_up: Vec::new(),
        wrong: rank != Rank::Remark,
        rank,
    })
}

fn of_service(service: &ServiceStatus) -> Option<Finding> {
    let rank = match service.phase {
        Phase::Failed | Phase::Hidden => Rank::NeedsHelp,
        Phase::Pending
        | Phase::Migrating
        | Phase::Extracting
        | Phase::Merging
        | Phase::Rolling
        | Phase::Held => Rank::NeedsTime,
        Phase::Running | Phase::Leaving if service.message.is_empty() => return None,
        Phase::Running | Phase::Leaving => Rank::Remark,
    };
    Some(Finding {
        object: object_of(&service.name),
        state: status::phase(service.phase).0,
        reason: service.blocked_by.as_ref().map(|by| by.reason.clone()),
        message: service.message.clone(),
        blocked_by: service.blocked_by.clone(),
        holds_up: Vec::new(),
        wrong: rank != Rank::Remark,
        rank,
    })
}

/// What says the same as something deeper, which comes before it, waits for that.
fn joined(all: impl Iterator<Item = Finding>) -> Vec<Finding> {
    let mut joined: Vec<Finding> = Vec::new();
    for finding in all {
        let same = joined
            .iter_mut()
            .find(|deeper| says(deeper, &finding.message));
        match same {
            Some(deeper) => {
                deeper.rank = deeper.rank.min(finding.rank);
                deeper.wrong |= finding.wrong;
                deeper.blocked_by = deeper.blocked_by.take().or(finding.blocked_by);
                deeper.holds_up.push(finding.object);
            }
            None => joined.push(finding),
        }
    }
    joined
}

/// Two that say nothing do not say the same.
fn says(finding: &Finding, message: &str) -> bool {
    !message.is_empty() && finding.message == message
}

/// The condition Ready has the sentence that the operator finds the most urgent, and a word for it.
fn name_the_most_urgent(shop: &Shop, all: &mut Vec<Finding>) {
    let Some(ready) = condition(shop, "Ready").filter(|ready| truth(ready) != Truth::Yes) else {
        return;
    };
    let reason = Some(ready.reason.clone());
    if let Some(named) = all.iter_mut().find(|finding| says(finding, &ready.message)) {
        (named.reason, named.rank, named.wrong) = (reason, Rank::Named, true);
        return;
    }
    all.push(Finding {
        object: object_of_shop(shop),
        state: "not ready",
        reason,
        message: ready.message.clone(),
        blocked_by: None,
        holds_up: Vec::new(),
        wrong: true,
        rank: Rank::Named,
    });
}

fn unseen(shop: &Shop) -> Option<Finding> {
    Some(Finding {
        object: object_of_shop(shop),
        state: "not seen yet",
        reason: None,
        message: shop::unseen(shop)?,
        blocked_by: None,
        holds_up: Vec::new(),
        wrong: true,
        rank: Rank::NotSeen,
    })
}

/// What somebody else has set on its objects, and stays.
fn edited(service: &ServiceStatus) -> impl Iterator<Item = Finding> {
    let both = [
        ("is changed by somebody else", &service.drift),
        ("has fields of somebody else", &service.foreign),
    ];
    let some = both.into_iter().filter(|(_, fields)| !fields.is_empty());
    some.map(|(state, fields)| Finding {
        object: object_of(&service.name),
        state,
        reason: None,
        message: fields.join("; "),
        blocked_by: None,
        holds_up: Vec::new(),
        wrong: false,
        rank: Rank::Remark,
    })
}

/// What a condition says that is there only while there is something to say.
fn remark(shop: &Shop, kind: &str, state: &'static str) -> Option<Finding> {
    let condition = condition(shop, kind)?;
    Some(Finding {
        object: object_of_shop(shop),
        state,
        reason: None,
        message: condition.message.clone(),
        blocked_by: None,
        holds_up: Vec::new(),
        wrong: false,
        rank: Rank::Remark,
    })
}
