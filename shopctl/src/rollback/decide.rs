//! What to write so that a Shop asks for what ran before.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use shop_operator::{
    api::{PastRelease, Phase, ReleaseResult, ReleaseStatus, ServiceSpec, Shop},
    release::State,
};

use crate::{
    change::{Change, Intent},
    failure::Failure,
    shop,
};

/// What to write so that one service, or all that follow the version of the Shop, go back. `document` is the Shop with all its fields.
///
/// # Errors
/// When there is no such service or release, or nothing to go back to.
pub fn decide(
    shop: &Shop,
    document: &Value,
    service: Option<&str>,
    to: Option<usize>,
) -> Result<Intent, Failure> {
    match service {
        Some(service) => one(shop, document, service, to),
        None => whole(shop, document),
    }
}

fn one(shop: &Shop, document: &Value, service: &str, to: Option<usize>) -> Result<Intent, Failure> {
    let status = shop::service(shop, service)?;
    if matches!(status.phase, Phase::Leaving | Phase::Hidden) {
        return Err(Failure::Refused(format!(
            "the Shop no longer has {service}: put it back into spec.services first"
        )));
    }
    let registry = registry(shop);
    let spec = spec_of(shop, service);
    let asks_for = |image: &str| match &spec.image {
        Some(asked) => image == asked,
        None => {
            let asked = spec.version.as_ref().unwrap_or(&shop.spec.version);
            version_in(image, service, registry) == Some(asked)
        }
    };
    let history = history(shop, service);
    let past = match to {
        Some(number) => numbered(history, service, number, asks_for)?,
        None => {
            let good: Vec<_> = good(history).collect();
            let failed = history.first().is_some_and(|last| !has_passed(last));
            if let Some(runs) = good.first().filter(|runs| failed && asks_for(&runs.image)) {
                return Err(Failure::Refused(format!(
                    "what failed last is taken back, and the Shop asks for {} of {service}, which ran before: settings are not taken \
                     back; to go further back, say --to",
                    runs.image
                )));
            }
            let mut good = good.into_iter();
            let found = good.find(|past| !asks_for(&past.image));
            let host = status.host.as_deref();
            found.ok_or_else(|| nothing_before(service, host))?
        }
    };
    runs(shop, service, &past.image)?;
    let fields = fields(shop, service, &past.image, registry);
    let changes = fields.into_iter().filter_map(|(field, value)| {
        let path = ["spec", "services", service, field];
        Change::of(document, &path, value)
    });
    let changes: Vec<_> = changes.collect();
    let followed = spec.image.is_none() && spec.version.is_none();
    let notes = followed.then(|| {
        format!(
            "{service} no longer follows spec.version: take the field out to let it follow again"
        )
    });
    Ok(Intent {
        changes,
        notes: notes.into_iter().collect(),
    })
}

/// Refuses an image whose code does not run on the schema of its database any more. Its own migration would refuse as well.
fn runs(shop: &Shop, service: &str, image: &str) -> Result<(), Failure> {
    let state = release(shop, service).map(State::of);
    match state.and_then(|state| state.image_left_behind(image)) {
        None => Ok(()),
        Some(why) => Err(Failure::Refused(format!(
            "{service} cannot go back: {why}; release a version that mends what is wrong, or put back a dump of its database from before, and write the older version into the Shop by hand"
        ))),
    }
}

fn spec_of(shop: &Shop, service: &str) -> ServiceSpec {
    let spec = shop.spec.services.get(service);
    spec.cloned().unwrap_or_default()
}

fn has_passed(past: &PastRelease) -> bool {
    past.result == ReleaseResult::Passed
}

/// Releases that proved themselves, of revisions that were not taken back later: with the whole shop, a revision may pass and go back.
fn good(history: &[PastRelease]) -> impl Iterator<Item = &PastRelease> {
    let is_newest = |index: usize, past: &PastRelease| {
        let newer = history.get(..index).unwrap_or_default();
        newer.iter().all(|newer| newer.revision != past.revision)
    };
    let history = history.iter().enumerate();
    history
        .filter(move |(index, past)| has_passed(past) && is_newest(*index, past))
        .map(|(_, past)| past)
}

fn nothing_before(service: &str, host: Option<&str>) -> Failure {
    let why = match host {
        Some(host) => format!("it is in the pods of {host}, of which no history is kept"),
        None => "no release with another image has passed, as far as its history goes".into(),
    };
    Failure::Refused(format!(
        "there is nothing that {service} could go back to: {why}"
    ))
}

/// A release by its number; only one that proved itself is worth going back to.
fn numbered<'a>(
    history: &'a [PastRelease],
    service: &str,
    number: usize,
    asks_for: impl Fn(&str) -> bool,
) -> Result<&'a PastRelease, Failure> {
    let past = number.checked_sub(1).and_then(|index| history.get(index));
    let past = past.ok_or_else(|| {
        Failure::Absent(match history.len() {
            0 => format!("no release of {service} has ended yet"),
            last => {
                format!(
                    "the history of {service} has no release {number}: it goes from 1 to {last}"
                )
            }
        })
    })?;
    if !has_passed(past) {
        let cause = past.cause.as_deref().unwrap_or("it did not pass");
        return Err(Failure::Refused(format!(
            "release {number} of {service} failed: {cause}; name one that passed"
        )));
    }
    if !good(history).any(|good| good.revision == past.revision) {
        return Err(Failure::Refused(format!(
            "release {number} of {service} passed, and was taken back later with the whole shop; name another one"
        )));
    }
    if asks_for(&past.image) {
        return Err(Failure::Refused(format!(
            "the Shop asks for {} of {service} already; settings are not taken back",
            past.image
        )));
    }
    Ok(past)
}

/// The fields of a service that make it ask for this image. What the Shop gives by version stays so.
fn fields(
    shop: &Shop,
    service: &str,
    image: &str,
    registry: Option<&str>,
) -> Vec<(&'static str, Value)> {
    let spec = spec_of(shop, service);
    let by_version = spec.image.is_none() && spec.definition.is_none();
    match version_in(image, service, registry).filter(|_| by_version) {
        // It follows the Shop again.
        Some(version) if *version == shop.spec.version => vec![("version", Value::Null)],
        Some(version) => vec![("version", version.into())],
        None => vec![("image", image.into()), ("version", Value::Null)],
    }
}

/// The version of all that name none of their own goes back.
fn whole(shop: &Shop, document: &Value) -> Result<Intent, Failure> {
    let (own, followers): (Vec<_>, Vec<_>) = shop::services(shop)
        .iter()
        .filter(|service| !matches!(service.phase, Phase::Leaving | Phase::Hidden))
        .map(|service| service.name.as_str())
        .partition(|name| {
            let spec = spec_of(shop, name);
            spec.image.is_some() || spec.version.is_some()
        });
    let registry = registry(shop);
    let ran: Vec<_> = followers
        .iter()
        .map(|name| (*name, ran(history(shop, name), name, registry)))
        .collect();
    let asked = shop.spec.version.as_str();
    let mut last = followers
        .iter()
        .filter_map(|name| history(shop, name).first());
    if last.any(|last| !has_passed(last)) && newest(&ran, |_| true) == Some(asked) {
        return Err(Failure::Refused(format!(
            "what failed last is taken back, and the Shop asks for {asked}, which ran before; to go further back, write spec.version"
        )));
    }
    let before = newest(&ran, |version| version != asked).ok_or_else(|| {
        Failure::Refused(format!(
            "there is nothing that the Shop could go back to: no other version than {asked} has passed in all services that follow it, as far as \
             their history goes; name one in spec.version"
        ))
    })?;
    for service in &followers {
        let mut past = good(history(shop, service));
        let of_version =
            past.find(|past| version_in(&past.image, service, registry) == Some(before));
        if let Some(past) = of_version {
            runs(shop, service, &past.image)?;
        }
    }
    let change = Change::of(document, &["spec", "version"], before.into());
    let stays = own
        .iter()
        .map(|name| format!("{name} names an image or version of its own and stays as it is"));
    let new = ran.iter().filter(|(_, ran)| ran.is_empty());
    let unknown =
        new.map(|(name, _)| format!("{name} goes along, though it has no history of its own"));
    Ok(Intent {
        changes: change.into_iter().collect(),
        notes: stays.chain(unknown).collect(),
    })
}

/// When a version last proved itself.
type Ran<'a> = BTreeMap<&'a str, Timestamp>;

fn ran<'a>(history: &'a [PastRelease], service: &str, registry: Option<&str>) -> Ran<'a> {
    let mut ran = Ran::new();
    for past in good(history) {
        if let Some(version) = version_in(&past.image, service, registry) {
            // The newest comes first.
            ran.entry(version).or_insert(past.ended.0);
        }
    }
    ran
}

/// The version that all have run, of those that will do the last.
fn newest<'a>(ran: &[(&str, Ran<'a>)], will_do: impl Fn(&str) -> bool) -> Option<&'a str> {
    let known = || ran.iter().filter(|(_, ran)| !ran.is_empty());
    let all = known().flat_map(|(_, ran)| ran);
    let good = all.filter(|(version, _)| {
        will_do(version) && known().all(|(_, ran)| ran.contains_key(*version))
    });
    let last = good.max_by_key(|(_, ended)| **ended)?;
    Some(last.0)
}

fn history<'a>(shop: &'a Shop, service: &str) -> &'a [PastRelease] {
    release(shop, service).map_or(&[], |release| &release.history)
}

fn release<'a>(shop: &'a Shop, service: &str) -> Option<&'a ReleaseStatus> {
    let status = shop.status.iter();
    let mut releases = status.flat_map(|status| &status.releases);
    releases.find(|release| release.name == service)
}

/// Where images by version come from. What the operator takes by default is told by what it runs.
fn registry(shop: &Shop) -> Option<&str> {
    let images = shop.spec.images.as_ref();
    let named = images.and_then(|images| images.registry.as_deref());
    named.or_else(|| {
        let by_version = shop::services(shop)
            .iter()
            .filter(|service| !service.version.is_empty());
        by_version
            .filter_map(|service| {
                let (registry, rest) = service.image.rsplit_once('/')?;
                rest.strip_prefix(&service.name)?.strip_prefix(':')?;
                Some(registry)
            })
            .next()
    })
}

/// The version of an image, where a version alone would make the operator take that image.
fn version_in<'a>(image: &'a str, service: &str, registry: Option<&str>) -> Option<&'a str> {
    let (from, rest) = image.rsplit_once('/')?;
    let version = rest.strip_prefix(service)?.strip_prefix(':')?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let is_version = version.len() <= 63
        && version.chars().all(is_plain)
        && version.starts_with(|c: char| c.is_ascii_alphanumeric())
        && version.ends_with(|c: char| c.is_ascii_alphanumeric());
    (is_version && registry.is_none_or(|registry| registry == from)).then_some(version)
}
