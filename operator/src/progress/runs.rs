//! What a Deployment is to run, whatever image somebody has set on it since (`driftPolicy: Report`).

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::ResourceExt;

use super::decide::{Release, image_of, serving};
use crate::naming::labels::{REVISION_LABEL, VERSION_LABEL};

/// On a Deployment of which what somebody else changes stays: its revision, and the image of that.
const RUNS_ANNOTATION: &str = "shopkeeper.dev/runs";

/// What the pods of a revision are to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted<'a> {
    /// The revision.
    pub revision: &'a str,
    /// The container that serves.
    pub container: &'a str,
    /// Its image.
    pub image: &'a str,
}

/// Notes it, so that decisions go by it.
pub fn note(deployment: &mut Deployment) {
    let revision = deployment.annotations().get(REVISION_LABEL);
    let (Some(revision), Some(image)) = (revision, image_of(deployment)) else {
        return;
    };
    let noted = (RUNS_ANNOTATION.to_owned(), format!("{revision} {image}"));
    deployment.annotations_mut().extend([noted]);
}

/// What is noted. Of another revision than that of the Deployment it was left behind: what somebody else has set too stays when we apply it
/// no more.
pub fn noted(deployment: &Deployment) -> Option<Noted<'_>> {
    let annotations = deployment.annotations();
    let (revision, image) = annotations.get(RUNS_ANNOTATION)?.split_once(' ')?;
    let noted = Noted {
        revision,
        container: &serving(deployment)?.name,
        image,
    };
    (annotations.get(REVISION_LABEL).map(String::as_str) == Some(revision)).then_some(noted)
}

/// What a Deployment is to run.
pub fn running(deployment: &Deployment) -> Option<Release> {
    let noted = noted(deployment).map(|noted| noted.image);
    Some(Release {
        image: noted.or(image_of(deployment))?.to_owned(),
        version: deployment.labels().get(VERSION_LABEL).cloned(),
    })
}

impl Noted<'_> {
    /// Whether a pod of this revision runs another image, which somebody has set by hand: what it does says nothing about the revision.
    pub fn is_by_hand(self, pod: &Pod) -> bool {
        image_in(pod, self.container).is_some_and(|image| image != self.image)
    }
}

/// The image of a container of a pod, as it was asked for.
pub fn image_in<'a>(pod: &'a Pod, container: &str) -> Option<&'a str> {
    let mut containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let found = containers.find(|found| found.name == container)?;
    found.image.as_deref()
}
