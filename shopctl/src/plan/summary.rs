//! A plan in a few words for each service, and what of it can be taken back.

use std::collections::BTreeMap;

use k8s_openapi::{api::apps::v1::Deployment, jiff::Timestamp};
use serde::Serialize;
use serde_json::Value;
use shop_operator::{
    api::{Begins, HoldReason, OnFailure, OperatorUpdates, PauseSpec, ReleaseStage, Shop},
    facts::departures::Departure,
    facts::observe::ObservedService,
    model::{
        validate::{ValidService, ValidShop},
        windows::windows,
    },
    naming::{
        labels::{Part, part_of},
        names::{self, ServiceName},
    },
    objects::revision,
    progress::decide::{Migration, image_of},
    release::{State, is_in_force, no_canary, waits_until},
    run::plan::Plan,
};

use super::{Side, at, object};

/// What would become of a service.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Its name.
    pub service: String,
    /// What happens, each in a few words.
    pub steps: Vec<String>,
    /// What of it can be taken back; none where nothing is at stake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub back: Option<String>,
}

const TEMPLATE: &str = "/spec/template";
const IMAGE: &str = "/spec/template/spec/containers/0/image";

/// Services whose Deployment stays as it is, whatever is rendered: what they are to run was taken back, or only the operator renders it
/// otherwise. Each with why.
pub fn held(
    shop: &Shop,
    wanted: &ValidShop,
    rendered: &[Deployment],
    migrations: &BTreeMap<ServiceName, Migration>,
    now: Timestamp,
) -> BTreeMap<ServiceName, String> {
    let mut held = not_begun(shop, wanted, now);
    held.extend(unmigrated(shop, wanted, rendered, migrations));
    held.extend(taken_back(shop, rendered));
    held
}

/// What holds a service already holds it still, where nothing else is asked of it.
fn not_begun(shop: &Shop, wanted: &ValidShop, now: Timestamp) -> BTreeMap<ServiceName, String> {
    let is_closed = waits_until(Begins::InWindow, &wanted.windows, now).is_some();
    let status = shop.status.iter();
    let of_shop = status.clone().find_map(|status| status.release.as_ref());
    let is_same_version = of_shop.is_some_and(|release| release.version == shop.spec.version);
    let releases = status.flat_map(|status| &status.releases);
    let held = releases.filter_map(|release| {
        let name = ServiceName::from(release.name.as_str());
        let asked = &wanted.services.get(&name)?.asked;
        let held = release.held.as_ref()?;
        let why = match held.reason {
            HoldReason::OperatorUpdate if release.asked.as_ref() == Some(asked) => {
                match wanted.operator_updates {
                    OperatorUpdates::OnRelease => {
                        "stays as it is: only the operator renders it otherwise, and that waits for its next release"
                    }
                    OperatorUpdates::Window if is_closed => {
                        "stays as it is: only the operator renders it otherwise, and that waits for the next maintenance window"
                    }
                    OperatorUpdates::Window | OperatorUpdates::Immediately => return None,
                }
            }
            HoldReason::TakenBack if is_same_version => {
                "stays as it is: the release of this version was taken back, and `shopctl retry` tries it once more"
            }
            HoldReason::OperatorUpdate
            | HoldReason::TakenBack
            | HoldReason::Paused
            | HoldReason::Window
            | HoldReason::Wave => return None,
        };
        Some((name, why.to_owned()))
    });
    held.collect()
}

/// The migration of what a service is to run has failed: until that goes through, what runs stays, settings too.
fn unmigrated(
    shop: &Shop,
    wanted: &ValidShop,
    rendered: &[Deployment],
    migrations: &BTreeMap<ServiceName, Migration>,
) -> BTreeMap<ServiceName, String> {
    let releases = || shop.status.iter().flat_map(|status| &status.releases);
    let has_run = |name: &ServiceName| {
        releases().any(|release| {
            release.name == name.as_str() && (release.good.is_some() || release.revision.is_some())
        })
    };
    let failed = migrations.iter().filter_map(|(name, migration)| {
        let part = Part::Service(name.clone());
        let deployment = rendered.iter().find(|live| part_of(*live) == part)?;
        let waits = image_of(deployment) != Some(&wanted.services.get(name)?.image);
        let is_failed = matches!(migration, Migration::Failed(_));
        let why = "stays as it is, settings too: the migration of its image has failed";
        (is_failed && waits && has_run(name)).then(|| (name.clone(), why.to_owned()))
    });
    failed.collect()
}

fn taken_back(shop: &Shop, rendered: &[Deployment]) -> BTreeMap<ServiceName, String> {
    let releases = shop.status.iter().flat_map(|status| &status.releases);
    let failed = releases.filter(|release| {
        matches!(
            release.stage,
            ReleaseStage::Returning | ReleaseStage::TakenBack
        )
    });
    let held = failed.filter_map(|release| {
        let name = ServiceName::from(release.name.as_str());
        let part = Part::Service(name.clone());
        let deployment = rendered.iter().find(|live| part_of(*live) == part)?;
        let wanted = revision::of_deployment(deployment)?;
        let is_tried_again = release.revision.as_deref() != Some(wanted.as_str());
        let why = format!(
            "stays as it is: this was taken back, and `shopctl retry {name}` tries it once more"
        );
        (!is_tried_again).then_some((name, why))
    });
    held.collect()
}

/// Pauses of a Shop that are in force, each as one sentence.
pub fn paused(shop: &Shop, now: Timestamp) -> Vec<String> {
    let services = shop.spec.services.iter();
    let services = services.map(|(name, service)| (name.as_str(), &service.pause));
    let all = [("the Shop", &shop.spec.pause)].into_iter().chain(services);
    let sentence = |(what, pause): (&str, &Option<PauseSpec>)| {
        let pause = pause.as_ref().filter(|pause| is_in_force(pause, now))?;
        let until = pause.until.as_ref();
        let until = until.map(|until| format!(" until {:.0}", until.0));
        Some(format!(
            "{what} is paused{} ({}): no new release begins before that ends",
            until.unwrap_or_default(),
            pause.reason
        ))
    };
    all.filter_map(sentence).collect()
}

/// That no maintenance window is open, where new releases wait for one. What is wrong with the windows is told when the Shop is refused.
pub fn closed(shop: &Shop, now: Timestamp) -> Option<String> {
    let rollout = shop.spec.rollout.as_ref();
    let begins = rollout.and_then(|rollout| rollout.begins);
    let windows = windows(&shop.spec, &mut Vec::new());
    let opens = waits_until(begins.unwrap_or_default(), &windows, now)?;
    Some(format!(
        "no maintenance window is open: a new release begins when the next one opens, {opens:.0}"
    ))
}

/// The services of which something changes.
pub fn summaries(
    shop: &Shop,
    plan: &Plan,
    sides: &[Side],
    held: &BTreeMap<ServiceName, String>,
) -> Vec<Summary> {
    let leaving = plan.facts.departures.iter();
    let leaving = leaving.map(|(name, departure)| {
        let (step, back) = match departure {
            Departure::Leaves => (
                "leaves the Shop",
                "put back into the Shop it comes back with its data, which stay as long as the Shop",
            ),
            Departure::LeavesForGood => (
                "leaves the Shop, and its data are deleted (deletionPolicy: Delete)",
                "nothing brings its data back",
            ),
            Departure::Hidden => ("is hidden: nothing of it is touched", "nothing is lost"),
        };
        Summary {
            service: name.to_string(),
            steps: vec![step.into()],
            back: Some(back.into()),
        }
    });
    let services = plan.facts.shop.services.keys();
    let services = services.filter_map(|name| summary(shop, plan, name, sides, held.get(name)));
    services.chain(leaving).chain(broker(sides)).collect()
}

fn broker(sides: &[Side]) -> Option<Summary> {
    let mut servers = sides.iter().filter(|side| side.kind == "StatefulSet");
    let server = servers.find(|side| side.service.is_none())?;
    Some(Summary {
        service: "the broker".into(),
        steps: vec![of_server(server)?.into()],
        back: None,
    })
}

fn summary(
    shop: &Shop,
    plan: &Plan,
    name: &ServiceName,
    sides: &[Side],
    held: Option<&String>,
) -> Option<Summary> {
    let its = sides
        .iter()
        .filter(|side| side.service.as_deref() == Some(name.as_str()));
    let its: Vec<_> = its.filter(|side| object(side).is_some()).collect();
    if its.is_empty() && held.is_none() {
        return None;
    }
    let name_of_shop = &plan.facts.shop.name;
    let find = |kind: &str, called: &str| {
        let mut its = its.iter();
        its.find(|side| side.kind == kind && side.name == called)
    };
    let pods =
        find("Deployment", &names::service(name_of_shop, name)).and_then(|side| Pods::of(side));
    let database = find("StatefulSet", &names::database(name_of_shop, name));
    let migration = plan.migrations.get(name);
    let mut steps: Vec<_> = held.cloned().into_iter().collect();
    steps.extend(pods.iter().flat_map(Pods::steps));
    let rolls = pods.as_ref().filter(|pods| held.is_none() && pods.rolls());
    let (wanted, seen) = (&plan.facts.shop.services, &plan.facts.observed.services);
    let refuses = wanted.get(name).and_then(|wanted| {
        let why = state_of(shop, name)?.image_left_behind(&wanted.image)?;
        Some(format!("cannot run: {why}"))
    });
    steps.extend(refuses);
    let is = wanted.get(name).zip(seen.get(name)).zip(rolls);
    steps.extend(is.and_then(|((wanted, seen), pods)| canary(wanted, seen, pods.before())));
    steps.extend(migration.and_then(|migration| of_migration(migration, pods.as_ref())));
    let database = database.and_then(|side| of_server(side));
    steps.extend(database.map(|what| format!("its PostgreSQL {what}")));
    let refused = its.iter().filter(|side| side.then.is_err()).count();
    steps.extend(
        (refused > 0).then(|| format!("the API server would refuse {refused} of its objects")),
    );
    if steps.is_empty() {
        let objects = match its.len() {
            1 => "one object changes".into(),
            count => format!("{count} objects change"),
        };
        steps.push(format!("{objects}, and its pods stay"));
    }
    let migrates = migration.is_some_and(|migration| !migration.is_done());
    let rolls = pods.as_ref().is_some_and(Pods::rolls);
    Some(Summary {
        service: name.to_string(),
        back: match no_return(shop, plan, name, migrates).filter(|_| rolls) {
            Some(why) => Some(format!(
                "what proved itself last cannot come back if this fails: {why}"
            )),
            None => pods.and_then(|pods| pods.back(migrates, plan.facts.shop.rollout.on_failure)),
        },
        steps,
    })
}

/// Why what proved itself last does not run on the schema that is there, or will not on the one that the migration brings, where that is
/// known before.
fn no_return(shop: &Shop, plan: &Plan, name: &ServiceName, migrates: bool) -> Option<String> {
    let wanted = plan.facts.shop.services.get(name)?;
    let oldest = wanted
        .schema()
        .filter(|_| migrates)
        .map_or(1, |schema| schema.oldest);
    state_of(shop, name)?.will_be_left_behind(oldest)
}

fn state_of(shop: &Shop, name: &ServiceName) -> Option<State> {
    let status = shop.status.iter();
    let mut releases = status.flat_map(|status| &status.releases);
    let release = releases.find(|release| release.name == name.as_str())?;
    Some(State::of(release))
}

/// With what a release begins beside so many pods, where some of its own are to prove themselves first.
pub fn canary(wanted: &ValidService, seen: &ObservedService, others: i64) -> Option<String> {
    let first = wanted.canary.first().filter(|_| others > 0)?;
    let good = seen.deployment.as_deref().and_then(revision::good_of)?;
    if let Some(why) = no_canary(seen, Some(&good)) {
        return Some(format!("without a canary: {why}"));
    }
    let others = i32::try_from(others).unwrap_or(i32::MAX);
    let pods = match first.pods(others) {
        1 => "one pod".to_owned(),
        count => format!("{count} pods"),
    };
    let share = first.share;
    Some(format!(
        "begins with a canary of {pods} beside {others} ({share} %)"
    ))
}

/// The pods of a service, before and after.
struct Pods<'a> {
    live: Option<&'a Value>,
    then: Option<&'a Value>,
}

impl<'a> Pods<'a> {
    fn of(side: &'a Side) -> Option<Self> {
        let then = side.then.as_ref().ok()?;
        Some(Self {
            live: side.live.as_ref(),
            then: then.as_ref(),
        })
    }

    fn before(&self) -> i64 {
        self.live.map_or(0, count)
    }

    fn rolls(&self) -> bool {
        match (self.live, self.then) {
            (Some(live), Some(then)) => at(live, TEMPLATE) != at(then, TEMPLATE),
            (_, None) | (None, _) => false,
        }
    }

    fn change_image(&self) -> bool {
        match (self.live, self.then) {
            (Some(live), Some(then)) => at(live, IMAGE) != at(then, IMAGE),
            (_, None) | (None, _) => false,
        }
    }

    fn steps(&self) -> Vec<String> {
        let (live, then) = match (self.live, self.then) {
            (Some(live), Some(then)) => (live, then),
            (_, None) => return vec!["its pods go".into()],
            (None, Some(then)) => return vec![format!("starts with {}", said(at(then, IMAGE)))],
        };
        let mut steps = Vec::new();
        let (old, new) = (at(live, IMAGE), at(then, IMAGE));
        if old != new {
            steps.push(format!("image {} -> {}", said(old), said(new)));
        }
        let (before, after) = (count(live), count(then));
        if self.rolls() {
            let pods = match before {
                1 => "its pod".into(),
                count => format!("{count} pods"),
            };
            steps.push(format!("rolls {pods}"));
        }
        if before != after {
            steps.push(format!("{before} -> {after} pods"));
        }
        steps
    }

    fn back(&self, migrates: bool, on_failure: OnFailure) -> Option<String> {
        if self.live.is_none() {
            return Some("there is nothing to go back to".into());
        }
        if on_failure == OnFailure::Stop {
            let stays = "nothing comes back by itself: rollout.onFailure is Stop";
            return self.rolls().then(|| stays.into());
        }
        self.rolls().then(|| match migrates && self.change_image() {
            false => "what runs now comes back by itself if this does not prove itself".into(),
            true => "the old pods come back if this does not prove itself, and the schema does not: they go on as long as the migrated one suits them"
                .into(),
        })
    }
}

fn said(image: &Value) -> &str {
    image.as_str().unwrap_or("no image")
}

fn count(deployment: &Value) -> i64 {
    at(deployment, "/spec/replicas").as_i64().unwrap_or(1)
}

fn of_migration(migration: &Migration, pods: Option<&Pods<'_>>) -> Option<String> {
    let is_new = pods.is_some_and(|pods| pods.live.is_none());
    let changes = pods.is_some_and(Pods::change_image);
    match migration {
        Migration::Failed(how) => {
            Some(format!("its migration failed ({how}): the new image waits"))
        }
        migration if migration.is_done() => None,
        _ if is_new => Some("migration beside the first pods".into()),
        _ if changes => Some("migration first".into()),
        _ => Some("its migration runs".into()),
    }
}

fn of_server(side: &Side) -> Option<&'static str> {
    let then = side.then.as_ref().ok()?.as_ref()?;
    match &side.live {
        None => Some("is made"),
        Some(live) if at(live, TEMPLATE) != at(then, TEMPLATE) => {
            Some("restarts, which nothing takes back")
        }
        Some(_) => None,
    }
}
