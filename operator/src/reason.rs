//! Why something is not as a Shop asks: one list of words. `docs/failure-modes.md` says of each what is seen, what the operator does and
//! what to do. (That a volume has not grown, and how far all is, are words of conditions that keep nothing from running.)

use strum::{EnumIter, IntoStaticStr};

/// One word; the reason of a condition and of what blocks a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, EnumIter)]
#[strum(const_into_str)]
pub enum Reason {
    /// A pod does not get its image.
    ImagePullFailed,
    /// A container cannot be made of what the pod says.
    ContainerNotCreated,
    /// A container ends by itself.
    Crashing,
    /// No node takes the pod.
    Unschedulable,
    /// Kubernetes warns of a pod that waits.
    PodHangs,
    /// A controller makes no pod.
    PodMissing,
    /// A quota or a policy refuses pods.
    PodsRefused,
    /// A node that does not answer holds a pod.
    NodeLost,
    /// New pods do not get ready.
    RolloutStuck,
    /// A new revision failed, and the last good one runs.
    TakenBack,
    /// A new revision failed, and stays: nothing can or may come back.
    ReleaseStopped,
    /// A pause holds what the Shop asks for, or that waits for a maintenance window.
    Held,
    /// Some pods of a new revision prove themselves beside those that run.
    Canary,
    /// They wait for somebody to say that all shall follow.
    WaitsForPromotion,
    /// It is not the service's turn yet in a release of the shop.
    WaitsForWave,
    /// Pods are being replaced.
    Rolling,
    /// A service is on its way between the host and pods of its own.
    Moving,
    /// That way took too long.
    MoveGivenUp,
    /// A host runs nothing, and its PostgreSQL holds databases.
    HoldsDatabases,
    /// An autoscaler cannot count.
    ScalingInactive,
    /// A volume is not there yet.
    VolumePending,
    /// A volume is about to go.
    VolumeDeleted,
    /// A database is being made.
    DatabaseStarting,
    /// The pod of a database or of the broker starts.
    Starting,
    /// A database waits for others to have changed.
    Queued,
    /// A database takes no connections.
    DatabaseUnreachable,
    /// A database has another password than its Secret.
    WrongPassword,
    /// A database asks for a password in a way that gives it away.
    PasswordAsked,
    /// Role or database cannot be made.
    PreparationFailed,
    /// An image of another major version than the one that wrote the volume.
    MajorVersion,
    /// A migration runs.
    Migrating,
    /// A migration is done once more.
    MigratingAgain,
    /// A migration failed.
    MigrationFailed,
    /// A Secret lacks a key.
    SecretIncomplete,
    /// A Secret is not there.
    SecretMissing,
    /// The operator may not read a Secret.
    SecretRefused,
    /// A service that nobody took out is not in the Shop.
    ServiceHidden,
    /// The Shop says what cannot be.
    Invalid,
    /// Somebody wrote at the same time.
    Conflict,
    /// Somebody else has an object of this name.
    NameTaken,
    /// The API server does not let the operator do it.
    Forbidden,
    /// The API server does not answer.
    ApiUnavailable,
    /// A mistake of the operator.
    OperatorBug,
}

/// What needs time alone.
const WAIT: &str = "Nothing: it goes on by itself.";

impl Reason {
    /// The word.
    pub fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// What somebody who reads it does next.
    pub fn next_step(self) -> &'static str {
        match self {
            Self::ImagePullFailed => {
                "Name an image that exists (version or image of the service, images.registry), and the login for its registry in images.pullSecrets."
            }
            Self::ContainerNotCreated => "Change what the message names.",
            Self::Crashing => {
                "Read the log of its last run (kubectl logs --previous); change what it asks for, or name the image that ran before."
            }
            Self::Unschedulable => {
                "Give the cluster room, or ask for less: resources and scheduling of the service."
            }
            Self::PodHangs => "Mend what the warning names.",
            Self::PodMissing => {
                "Look at the events of the object (kubectl describe): they say who refuses its pods."
            }
            Self::PodsRefused => "Raise the quota, or change the policy, that the message names.",
            Self::NodeLost => "Bring the node back; delete the Node if it is gone for good.",
            Self::RolloutStuck => {
                "Look at the new pods (kubectl describe): their readiness says what they wait for. Or name the image that ran before."
            }
            Self::TakenBack => {
                "Mend what the message names, and name another image or other settings. Or try the same again: shopctl retry."
            }
            Self::ReleaseStopped => {
                "Mend what the message names, and release that: another image or other settings."
            }
            Self::Held => {
                "Wait for its end, or end it: shopctl resume; or for the window, or set spec.rollout.begins to Anytime."
            }
            Self::WaitsForPromotion => {
                "Look how its pods do, then let all follow with shopctl promote, or have them go with shopctl abort."
            }
            Self::MoveGivenUp => "Mend what held it up. Each change of the Shop tries it again.",
            Self::ScalingInactive => {
                "Mend what the message names; most often metrics-server is missing."
            }
            Self::VolumePending => {
                "Give the storage class room; the events of the claim say what it lacks."
            }
            Self::VolumeDeleted => "Save the data with a dump now.",
            Self::DatabaseUnreachable => {
                "Read the log of the database's pod, and look whether a network policy keeps the operator from it."
            }
            Self::WrongPassword => {
                "Put back the Secret that the volume was made with, or give the role the password of the Secret."
            }
            Self::PasswordAsked => {
                "Look who answers at the address of the database: our PostgreSQL asks by SCRAM alone."
            }
            Self::PreparationFailed => {
                "Mend what the SQLSTATE means in the database; it is tried again by itself."
            }
            Self::MajorVersion => {
                "Name an image of the old major version, or move the data with a dump into a new Shop."
            }
            Self::MigrationFailed => {
                "Read the log of the Job; one that took too long has none any more: look what the database waits for, or give it more time (migration.deadline). One that says that the schema has left its version behind never will: name a newer image, or put back a dump from before. After mending, delete the Job to try again, or name another image: with the one that runs, settings go out at once."
            }
            Self::SecretIncomplete => "Add the key that the message names.",
            Self::SecretMissing => "Make the Secret that the message names.",
            Self::SecretRefused => "Let the operator read the Secret, or name another one.",
            Self::ServiceHidden => "Apply the present resource definition and the Shop again.",
            Self::Invalid => "Change the field that the message names.",
            Self::NameTaken => {
                "Give the Shop another name, delete the object, or hand it over with the annotation that the message names."
            }
            Self::Forbidden => {
                "Give the operator the right, or raise the quota, that the message names."
            }
            Self::OperatorBug => "Report it with the operator's log. Other Shops go on.",
            Self::WaitsForWave
            | Self::Canary
            | Self::Rolling
            | Self::Moving
            | Self::HoldsDatabases
            | Self::DatabaseStarting
            | Self::Starting
            | Self::Queued
            | Self::Migrating
            | Self::MigratingAgain
            | Self::Conflict
            | Self::ApiUnavailable => WAIT,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use strum::IntoEnumIterator;

    use super::*;

    /// The rows of the page's table: reason, what is seen, what the operator does, what to do.
    fn rows() -> impl Iterator<Item = Vec<&'static str>> {
        let page = include_str!("../../docs/failure-modes.md");
        let rows = page.lines().filter(|line| line.starts_with("| `"));
        rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect())
    }

    #[test]
    fn the_page_has_each_reason_with_its_next_step_and_no_other() {
        let told: Vec<_> = rows().collect();
        for row in &told {
            assert_eq!(row.len(), 4, "{row:?}");
        }
        let of_page: BTreeSet<_> = told
            .iter()
            .map(|row| (row[0].trim_matches('`'), row[3]))
            .collect();
        let of_code: BTreeSet<_> = Reason::iter()
            .map(|reason| (reason.as_str(), reason.next_step()))
            .collect();
        assert_eq!(of_page, of_code);
        assert_eq!(told.len(), of_code.len(), "no row twice");
    }
}
