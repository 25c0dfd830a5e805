//! What the operator says about a Shop.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a Shop says of itself until the operator does: without any condition, Helm, Flux and Argo CD would take it for ready.
fn not_seen_yet() -> serde_json::Value {
    serde_json::json!({
        "conditions": [{
            "type": "Ready",
            "status": "Unknown",
            "reason": "NotSeenYet",
            "message": "the operator has not seen this Shop yet",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        }],
    })
}

/// What the operator says about a Shop.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = not_seen_yet()))]
pub struct ShopStatus {
    /// The generation of the specification that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The release that last ran whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,

    /// How many of the services run as asked, for example `5/5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services_ready: Option<String>,

    /// `Ready` (everything runs as asked), `Progressing` (something is on its way), `DatabasesReady`, `BrokerReady`.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// The broker, once it has said something of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broker: Option<BrokerStatus>,

    /// The generation of the specification whose services are listed below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services_generation: Option<i64>,

    /// The services one by one.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub services: Vec<ServiceStatus>,

    /// The release of the whole shop: the last change of `version`, wave by wave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ShopReleaseStatus>,

    /// How far the release of each service is. It is written before anything is done, and read to go on from there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub releases: Vec<ReleaseStatus>,
}

/// What the broker says of itself.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BrokerStatus {
    /// How much of their room the events take, in percent, in tens and some minutes old. Where there is no room left, the oldest events
    /// go before they are seven days old.
    pub filled_percent: i32,
}

/// The state of one service.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// The version asked for; empty when a whole image is named.
    #[serde(default)]
    pub version: String,
    /// The image that runs, or that is to run when none runs yet.
    #[serde(default)]
    pub image: String,
    /// How far it is.
    pub phase: Phase,
    /// Pods that are ready.
    #[serde(default)]
    pub ready: i32,
    /// Pods that should be ready.
    #[serde(default)]
    pub desired: i32,
    /// The deepest known cause in one sentence; empty when all is well.
    #[serde(default)]
    pub message: String,
    /// What keeps it from running as asked, where time alone does not help; none otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<BlockedBy>,
    /// The service whose pods run it, where these are not its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The PostgreSQL that holds its database, where that is not its own. It stays there, wherever the service goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Its way from the host to pods of its own, or back; none where it is as the Shop asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving: Option<MoveStatus>,
    /// Fields of its objects that the Shop does not name and somebody has set, each with who did. They stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign: Vec<String>,
}

/// What keeps a service from running as asked.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BlockedBy {
    /// One word of the list in docs/failure-modes.md.
    pub reason: String,
    /// Kind and name of the object where it is seen: `Pod demo-search-7d5c-x2x9k`.
    pub object: String,
    /// Since when it is this reason, without a break.
    pub since: Time,
    /// What somebody does next.
    pub next_step: String,
}

/// The release of one service: a revision is a template of pods, kept as a ControllerRevision.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseStatus {
    /// The service.
    pub name: String,
    /// How far it is.
    pub stage: ReleaseStage,
    /// The last revision that proved itself: what a return goes back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good: Option<String>,
    /// The revision that has yet to prove itself, or that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Since when it is in this stage, or when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// When the release began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Time>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// When a container of its pods had last ended badly, as the gate began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_end: Option<Time>,
    /// What the pods before had answered: what the new ones are held against.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<AnsweredBefore>,
    /// Where its canary stands; none where it has none, or not any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryStatus>,
    /// Why it has no canary though the Shop asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_canary: Option<String>,
    /// What the annotation for another try said when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<String>,
    /// A fingerprint of what the Shop asked for when the last release began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// A fingerprint of the operator that made it of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<String>,
    /// A fingerprint of what the Shop asks for, where its release has begun and waits for its migration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<String>,
    /// A fingerprint of the operator that began that: what only it makes of the Shop no other one goes on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_by: Option<String>,
    /// Why what the Shop asks for does not begin yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldStatus>,
    /// Which code runs on the schema of its database, as the last migration said that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<SchemaStatus>,
    /// The releases that have ended, the last one first, ten at most. The tenth may be an older one: that of what proved itself last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<PastRelease>,
}

/// Which code runs on the schema of a database.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SchemaStatus {
    /// The image that migrated it.
    pub image: String,
    /// The version of the schema that the code of that image needs.
    pub version: i64,
    /// The oldest such version whose code still runs on it.
    pub oldest: i64,
    /// The migration that made it so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// Where the canary of a release stands.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CanaryStatus {
    /// The number of its step, from 1.
    pub step: i32,
    /// How far that is.
    pub progress: CanaryProgress,
    /// What the annotation `promote.shopkeeper.dev/<service>` said before that could count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promote: Option<String>,
    /// What the annotation `abort.shopkeeper.dev/<service>` said when the release began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<String>,
}

/// How far a step of a canary is.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CanaryProgress {
    /// Its pods come.
    Starting,
    /// They must go on well for a while.
    Passing,
    /// They go on well until somebody promotes or aborts it.
    Waiting,
}

/// What the pods of a revision had answered on one route when the next one came.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AnsweredBefore {
    /// Method and route.
    pub route: String,
    /// How many requests, but for those answered 503 or 504.
    pub requests: i64,
    /// How many of them were errors: 5xx.
    pub errors: i64,
    /// So many microseconds 99 of 100 took at most; none where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_micros: Option<i64>,
}

/// Why a release does not begin.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct HeldStatus {
    /// One word.
    pub reason: HoldReason,
    /// One sentence.
    pub message: String,
    /// Of an update of the operator: whoever annotates the Shop with this, as `approve.shopkeeper.dev/<service>`, lets it begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
}

/// Why a release does not begin.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldReason {
    /// The Shop says so.
    Paused,
    /// Services of an earlier wave have not proved themselves yet.
    Wave,
    /// Another service failed, and with it the release of the shop.
    TakenBack,
    /// Only the operator makes something else of what is asked for.
    OperatorUpdate,
    /// No maintenance window is open.
    Window,
}

/// A release of the whole shop: a change of its version.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ShopReleaseStatus {
    /// The version.
    pub version: String,
    /// How far it is.
    pub stage: ShopReleaseStage,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Time>,
    /// The service that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// A fingerprint of what that service was asked for when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// What the annotations for another try said then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tries: Vec<String>,
    /// What each service ran when it began, or proved before its turn came: what a return goes back to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub before: Vec<ServiceRevision>,
    /// The services whose turn has come since the last release that ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub begun: Vec<String>,
}

/// How far a release of the shop is.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShopReleaseStage {
    /// All services run it, or none is under way.
    #[default]
    Done,
    /// It goes from wave to wave.
    Rolling,
    /// A service failed, and those that have it already go back, the last wave first.
    Returning,
    /// A service failed, and all run what they ran before.
    TakenBack,
    /// A service failed, and the Shop forbids a return: later waves wait.
    Stopped,
}

/// A revision of a service.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ServiceRevision {
    /// The service.
    pub name: String,
    /// The revision.
    pub revision: String,
}

/// How far a release is.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReleaseStage {
    /// None is under way: what is asked for has proved itself.
    #[default]
    Idle,
    /// Some new pods serve beside those that run.
    Canary,
    /// Pods are being replaced.
    Rolling,
    /// All pods are new, and must go on well for a while.
    Gate,
    /// It failed, and the last good revision comes back.
    Returning,
    /// It failed, and the last good revision runs again.
    TakenBack,
    /// It failed, and stays as it is: the Shop says so, or there is nothing to go back to.
    Stopped,
}

/// A release that has ended.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PastRelease {
    /// Its revision.
    pub revision: String,
    /// Its image.
    pub image: String,
    /// When it began.
    pub began: Time,
    /// When it ended.
    pub ended: Time,
    /// How.
    pub result: ReleaseResult,
    /// Why, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The version of the schema that its code needs, where its migration said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<i64>,
    /// Why it had no canary though the Shop asked for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_canary: Option<String>,
    /// What its pods had answered until then, where it was judged by that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<String>,
}

/// How a release ended.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseResult {
    /// It proved itself.
    Passed,
    /// It failed, and the last good revision came back.
    TakenBack,
    /// It failed, and stayed as it was.
    Stopped,
}

/// The way of a service from the host to pods of its own, or back.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MoveStatus {
    /// When it began.
    pub since: Time,
    /// The generation of the specification that asks for it.
    pub generation: i64,
    /// What holds it up, or did when it was given up.
    #[serde(default)]
    pub cause: String,
    /// It took too long, and the service is where it was. It is tried again when the Shop changes.
    #[serde(default)]
    pub given_up: bool,
}

/// How far a service is.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It waits for its database.
    Pending,
    /// The migration of the new image runs; pods of the old image serve meanwhile.
    Migrating,
    /// It gets pods of its own; the host answers until they are ready.
    Extracting,
    /// The host takes it in; its own pods answer until then.
    Merging,
    /// Pods are being replaced or started.
    Rolling,
    /// It keeps what it runs: a pause holds what the Shop asks for, or that waits for a maintenance window, or its canary for somebody.
    Held,
    /// All pods run as asked.
    Running,
    /// It cannot go on without help; the message says why.
    Failed,
    /// The Shop no longer has it, and its objects are going.
    Leaving,
    /// The Shop no longer has it though nobody took it out; the message says why. Nothing of it is deleted.
    Hidden,
}
