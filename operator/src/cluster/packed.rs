//! Objects in little memory. A parsed object takes several times the memory of its JSON, and of the hundred objects of each Shop
//! hardly one is looked at in a minute. Those of one kind are much alike, whichever Shop they belong to: each is kept as what sets
//! it apart from the first that came.

use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict};
use serde::{Serialize, de::DeserializeOwned};

/// One object, to be unpacked by the [`Packer`] that packed it.
pub(super) struct Packed(Box<[u8]>);

/// Packs objects of one kind.
#[derive(Default)]
pub(super) struct Packer {
    /// The JSON of the first object. What was packed by another one could not be unpacked, so that it stays.
    sample: Option<Box<[u8]>>,
}

impl Packer {
    pub(super) fn pack(&mut self, object: &impl Serialize) -> Packed {
        // Kubernetes objects have string keys and no failing serialisers, which is all that can go wrong.
        let json = serde_json::to_vec(object).unwrap_or_default();
        let sample = self.sample.get_or_insert_with(|| json.clone().into());
        Packed(compress_prepend_size_with_dict(&json, sample).into())
    }

    /// The object as it was; none where it was packed by another packer.
    pub(super) fn unpack<T: DeserializeOwned>(&self, packed: &Packed) -> Option<T> {
        let sample = self.sample.as_deref().unwrap_or_default();
        let json = decompress_size_prepended_with_dict(&packed.0, sample).ok()?;
        serde_json::from_slice(&json).ok()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::*;

    fn pod(number: u32) -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "name": format!("shop-{number}-0"), "namespace": "shops", "uid": format!("{number:08x}-1111-2222-3333-444444444444"),
                "labels": {"app.kubernetes.io/managed-by": "shop-operator", "app.kubernetes.io/instance": "shop"},
                "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "status": {
                "phase": "Running", "startTime": "2026-01-01T00:00:00Z",
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
                "containerStatuses": [{
                    "name": "postgres", "image": "postgres:17", "imageID": "", "ready": true, "restartCount": 0,
                    "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
                }],
            },
        }))
        .expect("a Pod")
    }

    #[test]
    fn each_object_comes_back_as_it_was() {
        let mut packer = Packer::default();
        let packed: Vec<_> = (0..10).map(|number| packer.pack(&pod(number))).collect();
        for (number, packed) in (0..).zip(&packed) {
            assert_eq!(packer.unpack(packed), Some(pod(number)));
        }
    }

    #[test]
    fn what_is_like_the_first_takes_little_memory() {
        let mut packer = Packer::default();
        packer.pack(&pod(0));
        let json = serde_json::to_vec(&pod(1)).expect("JSON").len();
        let packed = packer.pack(&pod(1)).0.len();
        assert!(packed * 5 < json, "{packed} of {json} bytes");
    }

    #[test]
    fn what_another_packer_packed_is_no_object_and_no_panic() {
        let (mut one, mut other) = (Packer::default(), Packer::default());
        other.pack(&json!("something else"));
        let packed = one.pack(&pod(0));
        assert_eq!(other.unpack::<Pod>(&packed), None);
        assert_eq!(Packer::default().unpack::<Pod>(&packed), None);
    }
}
