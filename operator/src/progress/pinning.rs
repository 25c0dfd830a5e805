//! Which image a database or the broker runs. It is chosen once, when its volume is new, and stands on the claim of that volume;
//! after that only the Shop changes it. So neither an upgrade of the operator nor another default of it restarts anything, and a
//! volume never meets another major version than the one that wrote it.

use kube::ResourceExt;

use crate::{facts::observe::ObservedBackend, model::validate::ImageChoice};

/// On a claim: the image that has run on its volume.
pub const IMAGE_ANNOTATION: &str = "shopkeeper.dev/image";

/// The image of a database or the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pinned {
    /// What runs.
    pub image: String,
    /// Why it is not what the Shop asks for.
    pub refused: Option<String>,
}

/// Chooses the image of `name`, whose image the Shop can name in `field`.
pub fn pin(name: &str, field: &str, choice: &ImageChoice, observed: &ObservedBackend) -> Pinned {
    let (asked, ran) = (choice.asked.as_deref(), image_that_ran(observed));
    let (old, new) = (ran.and_then(major), asked.and_then(major));
    if let (Some(ran), Some(asked), Some(old), Some(new)) = (ran, asked, old, new)
        && old != new
    {
        return Pinned {
            image: ran.to_owned(),
            refused: Some(format!(
                "{name} stays at {ran}: its volume was written by major version {old}, and {field} asks for {asked}; \
                 move the data with a dump into a new Shop, or name an image of version {old}"
            )),
        };
    }
    Pinned {
        image: asked.or(ran).unwrap_or(&choice.default).to_owned(),
        refused: None,
    }
}

fn image_that_ran(observed: &ObservedBackend) -> Option<&str> {
    let noted = observed
        .claim
        .as_ref()
        .and_then(|claim| claim.annotations().get(IMAGE_ANNOTATION));
    // One that serves, or has served, and was not written down yet. Any other may be a typo that never ran.
    let served = observed.is_serving() || observed.prepared_for().is_some();
    let live = observed.image().filter(|_| served);
    noted.map(String::as_str).or(live)
}

/// The major version in a tag: 17 of `registry:5000/postgres:17.2-bookworm@sha256:…`.
fn major(image: &str) -> Option<u32> {
    let without_digest = image.split_once('@').map_or(image, |(name, _)| name);
    let last = without_digest.rsplit('/').next()?;
    let (_, tag) = last.rsplit_once(':')?;
    let tag = tag.strip_prefix('v').unwrap_or(tag);
    let digits = tag.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::api::core::v1::PersistentVolumeClaim;
    use serde_json::json;

    use super::*;

    fn after(ran: Option<&str>) -> ObservedBackend {
        let claim = ran.map(|image| {
            let claim =
                json!({"metadata": {"name": "c", "annotations": {IMAGE_ANNOTATION: image}}});
            Arc::new(serde_json::from_value::<PersistentVolumeClaim>(claim).expect("a claim"))
        });
        ObservedBackend {
            claim,
            ..ObservedBackend::default()
        }
    }

    fn image(ran: Option<&str>, asked: Option<&str>) -> Pinned {
        let choice = ImageChoice {
            asked: asked.map(Into::into),
            default: "postgres:18".into(),
        };
        pin("a-db", "spec.images.postgres", &choice, &after(ran))
    }

    #[test]
    fn a_new_volume_gets_the_default_unless_the_shop_names_an_image() {
        assert_eq!(image(None, None).image, "postgres:18");
        assert_eq!(image(None, Some("postgres:16")).image, "postgres:16");
    }

    #[test]
    fn a_default_that_changes_later_changes_nothing() {
        assert_eq!(image(Some("postgres:17"), None).image, "postgres:17");
    }

    #[test]
    fn the_shop_changes_the_image_within_the_major_version_only() {
        assert_eq!(
            image(Some("postgres:17"), Some("other/postgres:17.4")).image,
            "other/postgres:17.4"
        );
        let refused = image(Some("postgres:17"), Some("postgres:18"));
        assert_eq!(refused.image, "postgres:17");
        let why = refused.refused.expect("a reason");
        assert!(
            why.contains("a-db stays at postgres:17") && why.contains("spec.images.postgres"),
            "{why}"
        );
    }

    #[test]
    fn the_major_version_is_found_where_the_tag_has_one() {
        for (image, expected) in [
            ("postgres:17", Some(17)),
            ("registry:5000/a/postgres:17.2-bookworm@sha256:ab", Some(17)),
            ("nats:v2.12", Some(2)),
            ("registry:5000/postgres", None),
            ("postgres:latest", None),
            ("postgres@sha256:17", None),
        ] {
            assert_eq!(major(image), expected, "{image}");
        }
    }
}
