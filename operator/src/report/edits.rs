//! What others have set on the objects of a service, as its status lists it.

use super::{Findings, ServiceFindings};
use crate::{cluster::Edits, naming::labels::Part};

/// More fields than these are not named one by one.
const NAMED: usize = 20;
/// With this the last entry begins where there are more. Others begin with the kind of an object.
const REST: &str = "and ";

/// Fields of its objects that others have set. In order: which objects were written in this pass is no difference.
pub(super) fn edited(
    findings: &Findings<'_>,
    service: &ServiceFindings<'_>,
    which: fn(&Edits) -> &[String],
) -> Vec<String> {
    let part = Part::Service(service.view.name().clone());
    let edited = findings.outcome.edited.iter();
    let its = edited.filter(|edited| edited.part == part);
    let all = its.flat_map(|edited| {
        let fields = which(&edited.edits).iter();
        fields.map(|field| format!("{}: {field}", edited.object))
    });
    let mut all: Vec<_> = all.collect();
    all.sort();
    let rest = all.len().saturating_sub(NAMED);
    all.truncate(NAMED);
    all.extend((rest > 0).then(|| format!("{REST}{rest} more")));
    all
}

/// Whether an entry names no field, and says how many more there are.
pub(super) fn is_rest(entry: &str) -> bool {
    entry.starts_with(REST)
}
