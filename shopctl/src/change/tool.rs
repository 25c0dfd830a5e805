//! Tools that keep a Shop as it is written elsewhere. Each says on the object that it does.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};

/// A tool that keeps a Shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// What it is called.
    pub name: &'static str,
    /// By what it is known, and what of it keeps the Shop, where that is told.
    pub known_by: String,
    /// What becomes of a change, and where to make it.
    consequence: &'static str,
}

const PUTS_BACK: &str = "would put its specification back: change it there";
/// Helm compares its last manifest with the next one, so that it puts back what it changes itself.
const MAY_PUT_BACK: &str =
    "puts its specification back with an upgrade that names these fields: change its values";

impl Tool {
    /// One sentence about a Shop, without a full stop.
    pub fn warning(&self, shop: &str) -> String {
        let Self {
            name,
            known_by,
            consequence,
        } = self;
        format!("{name} keeps Shop {shop} ({known_by}) and {consequence}")
    }
}

/// The tool that keeps an object, by its labels and annotations, or by the fields of the specification that it has set.
pub fn tool(metadata: &ObjectMeta) -> Option<Tool> {
    let annotation = |key: &str| metadata.annotations.as_ref()?.get(key).map(String::as_str);
    let label = |key: &str| metadata.labels.as_ref()?.get(key).map(String::as_str);
    // Argo CD writes `<application>:<group>/<kind>:<namespace>/<name>`.
    let tracked = annotation("argocd.argoproj.io/tracking-id");
    let tracked = tracked.and_then(|id| id.split(':').next());
    let told = [
        ("Argo CD", "application", tracked),
        (
            "Argo CD",
            "application",
            label("argocd.argoproj.io/instance"),
        ),
        ("Flux", "HelmRelease", label("helm.toolkit.fluxcd.io/name")),
        (
            "Flux",
            "Kustomization",
            label("kustomize.toolkit.fluxcd.io/name"),
        ),
        ("Helm", "release", annotation("meta.helm.sh/release-name")),
    ];
    let told = told
        .into_iter()
        .find_map(|(name, what, called)| Some((name, format!("{what} {}", called?))));
    let managers = metadata.managed_fields.iter().flatten();
    let managed = || managers.filter_map(by_manager).next();
    let (name, known_by) = told.or_else(managed)?;
    Some(Tool {
        name,
        known_by,
        consequence: match name {
            "Helm" => MAY_PUT_BACK,
            _ => PUTS_BACK,
        },
    })
}

fn by_manager(entry: &ManagedFieldsEntry) -> Option<(&'static str, String)> {
    let manager = entry.manager.as_deref()?;
    let name = match manager {
        "argocd-controller" | "argocd-application-controller" => "Argo CD",
        "kustomize-controller" | "helm-controller" => "Flux",
        "helm" => "Helm",
        _ => return None,
    };
    let fields = entry.fields_v1.as_ref()?;
    let has_set = fields.0.get("f:spec").is_some() && entry.subresource.is_none();
    has_set.then(|| (name, format!("{manager} has set fields of it")))
}
