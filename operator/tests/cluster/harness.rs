//! A namespace, a client that counts its requests, and hands that play kubelet and controllers.

use std::{
    fmt::Debug,
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{ControllerRevision, Deployment, StatefulSet},
        autoscaling::v2::HorizontalPodAutoscaler,
        batch::v1::Job,
        core::v1::{Namespace, PersistentVolumeClaim},
        rbac::v1::{ClusterRole, ClusterRoleBinding},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    jiff::Timestamp,
};
use kube::{
    Api, Client, Config as KubeConfig, CustomResourceExt, Resource, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
    client::{Body, ClientBuilder},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{conditions, events::Reporter, wait::await_condition},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use shop_operator::{
    api::{Phase, Shop, ShopStatus},
    apply::refusals::Refusals,
    cluster::{Cluster, Scope},
    config::{Config, Overrides},
    error::Error,
    facts::database::{Databases, Redirect},
    metrics::Metrics,
    naming::names,
    report::statuses::ParsedShop,
    run::{
        deletion,
        reconcile::{Context, Done, RETRY_DATABASE, reconcile},
    },
};
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard};
use tokio_util::task::AbortOnDropHandle;
use tower::util::{MapFutureLayer, MapRequestLayer};

use crate::{rbac, release::Death};

/// Longer than any of this takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// One request: verb and path.
pub(crate) type Request = (String, String);

pub(crate) struct Harness {
    /// An administrator: the user, the kubelet and the controllers.
    pub(crate) admin: Client,
    pub(crate) namespace: String,
    pub(crate) context: Context,
    /// Whose rights the operator has.
    user: String,
    requests: Arc<Mutex<Vec<Request>>>,
    _watches: Watches,
    _beside_others: RwLockReadGuard<'static, ()>,
}

/// They end with the operator whose they are.
type Watches = [AbortOnDropHandle<()>; 2];

/// A whole controller looks after every Shop of the API server: the test that runs one runs alone.
pub(crate) static ALONE: RwLock<()> = RwLock::const_new(());

/// A setting that the tests need.
pub(crate) fn required(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set; run: eval \"$(dev/backends.sh up)\""))
}

pub(crate) async fn kube_config() -> KubeConfig {
    // Both crypto providers of rustls would do; the first test to come installs ours.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let file = Kubeconfig::read_from(required("TEST_KUBECONFIG")).expect("a kubeconfig");
    KubeConfig::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .expect("a usable kubeconfig")
}

pub(crate) async fn admin() -> Client {
    let client = Client::try_from(kube_config().await).expect("a client");
    static PREPARED: OnceCell<()> = OnceCell::const_new();
    // A client belongs to the runtime of its test, so that only the work is shared, not the client.
    PREPARED.get_or_init(|| prepare(client.clone())).await;
    client
}

/// The CRD, and the operator's rights.
async fn prepare(client: Client) {
    let apply = PatchParams::apply("test").force();
    let crd = Shop::crd();
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    crds.patch(&crd.name_any(), &apply, &Patch::Apply(&crd))
        .await
        .expect("the CRD is accepted");
    let name = crd.name_any();
    let established = await_condition(crds, &name, conditions::is_crd_established());
    tokio::time::timeout(PATIENCE, established)
        .await
        .expect("in time")
        .expect("established");
    let (role, binding) = rbac::rights();
    Api::<ClusterRole>::all(client.clone())
        .patch(&role.name_any(), &apply, &Patch::Apply(&role))
        .await
        .expect("a role");
    Api::<ClusterRoleBinding>::all(client)
        .patch(&binding.name_any(), &apply, &Patch::Apply(&binding))
        .await
        .expect("a binding");
}

/// A client with the rights of one user: the operator's in the whole cluster, or in one namespace.
pub(crate) async fn operator_client(user: &str, requests: Arc<Mutex<Vec<Request>>>) -> Client {
    dying_client(user, requests, Arc::default()).await
}

/// The same of an operator that is killed at one of its writes.
async fn dying_client(user: &str, requests: Arc<Mutex<Vec<Request>>>, death: Arc<Death>) -> Client {
    let mut config = kube_config().await;
    config.auth_info.impersonate = Some(user.into());
    let of = death.clone();
    let count = MapRequestLayer::new(move |request: http::Request<Body>| {
        death.requested(request.method() != http::Method::GET);
        let query = request.uri().query().unwrap_or_default();
        let verb = if query.contains("watch=true") {
            "WATCH"
        } else if query.contains("limit=") {
            "LIST" // what a watch begins with, page by page
        } else {
            request.method().as_str()
        };
        requests
            .lock()
            .expect("no panic")
            .push((verb.to_owned(), request.uri().path().to_owned()));
        request
    });
    let end = MapFutureLayer::new(move |answer| of.of(answer));
    ClientBuilder::try_from(config)
        .expect("a client")
        .with_layer(&count)
        .with_layer(&end)
        .build()
}

/// An administrator's client whose requests are never answered while this is so.
pub(crate) async fn admin_client_that_hangs_while(cut: Arc<AtomicBool>) -> Client {
    let hang = MapFutureLayer::new(move |answer| {
        let cut = cut.clone();
        async move {
            if cut.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            answer.await
        }
    });
    ClientBuilder::try_from(kube_config().await)
        .expect("a client")
        .with_layer(&hang)
        .build()
}

/// Databases stand in the PostgreSQL of the tests.
pub(crate) fn test_database() -> Redirect {
    let server: tokio_postgres::Config = required("TEST_DATABASE_URL")
        .parse()
        .expect("a database URL");
    Arc::new(move |_| server.clone())
}

/// A namespace that no other test and no earlier run has.
pub(crate) fn unique(prefix: &str) -> String {
    format!("{prefix}-{:08x}", rand::random::<u32>())
}

pub(crate) fn operator_config(namespace: &str) -> Config {
    Config {
        image_registry: Some("registry.example".into()),
        postgres_image: "postgres:17".into(),
        nats_image: "nats:2.12".into(),
        pod_name: format!("operator-{namespace}"),
        pod_namespace: namespace.to_owned(),
        install_name: "shop-operator".into(),
        watch_namespaces: Scope::Cluster,
        dns_ports: vec![53, 5353],
        api_server_ports: vec![443, 6443],
        overrides: Overrides::Allowed,
        admin_addr: ([127, 0, 0, 1], 0).into(),
    }
}

fn config_of_one_namespace() -> Config {
    let namespace = unique("op");
    Config {
        watch_namespaces: Scope::Namespaces(vec![namespace.clone()]),
        ..operator_config(&namespace)
    }
}

pub(crate) async fn make_namespace(admin: &Client, name: &str) {
    let namespace: Namespace =
        serde_json::from_value(json!({"metadata": {"name": name}})).expect("a Namespace");
    Api::all(admin.clone())
        .create(&PostParams::default(), &namespace)
        .await
        .expect("a namespace");
}

impl Harness {
    /// An operator with rights in the whole cluster that looks after the harness's namespace. Nobody takes away what earlier tests have
    /// made, and one that looks after all of it reads all of that each time it starts.
    pub(crate) async fn new() -> Self {
        Self::with(config_of_one_namespace(), rbac::USER.into()).await
    }

    /// An operator that looks after the whole cluster.
    pub(crate) async fn in_the_whole_cluster() -> Self {
        Self::with(operator_config(&unique("op")), rbac::USER.into()).await
    }

    /// An operator that looks after the harness's namespace, and has rights there alone.
    pub(crate) async fn in_one_namespace() -> Self {
        let config = config_of_one_namespace();
        let user = rbac::user_of(&config.pod_namespace);
        Self::with(config, user).await
    }

    async fn with(config: Config, user: String) -> Self {
        let beside_others = ALONE.read().await;
        let admin = admin().await;
        let namespace = config.pod_namespace.clone();
        make_namespace(&admin, &namespace).await;
        if user != rbac::USER {
            rbac::grant_in(&admin, &namespace).await;
        }
        let requests = Arc::new(Mutex::new(Vec::new()));
        let client = operator_client(&user, requests.clone()).await;
        let (context, watches) = new_context(client, config).await;
        Self {
            admin,
            namespace,
            context,
            user,
            requests,
            _watches: watches,
            _beside_others: beside_others,
        }
    }

    /// The operator is started again and knows nothing but what the cluster tells.
    pub(crate) async fn restarted(mut self) -> Self {
        let client = operator_client(&self.user, self.requests.clone()).await;
        (self.context, self._watches) = new_context(client, self.context.config.clone()).await;
        self
    }

    /// Another operator takes its place, which finds images elsewhere: it renders the same Shop otherwise.
    pub(crate) async fn upgraded(mut self, registry: &str) -> Self {
        let client = operator_client(&self.user, self.requests.clone()).await;
        let mut config = self.context.config.clone();
        config.image_registry = Some(registry.to_owned());
        (self.context, self._watches) = new_context(client, config).await;
        self
    }

    /// The operator is started again, and will be killed.
    pub(crate) async fn dying(mut self, death: &Arc<Death>) -> Self {
        let client = dying_client(&self.user, self.requests.clone(), death.clone()).await;
        (self.context, self._watches) = new_context(client, self.context.config.clone()).await;
        self
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }

    /// Applies a Shop named `demo`, as `kubectl apply --server-side` would.
    pub(crate) async fn apply(&self, spec: Value) -> Shop {
        apply_shop(&self.admin, &self.namespace, "demo", spec)
            .await
            .expect("accepted")
    }

    pub(crate) async fn shop(&self) -> Shop {
        self.api::<Shop>().get("demo").await.expect("the Shop")
    }

    pub(crate) async fn status(&self) -> ShopStatus {
        self.shop().await.status.unwrap_or_default()
    }

    /// One reconcile that withholds nothing. What is refused is an error here.
    pub(crate) async fn reconcile(&self) -> Result<Done, Error> {
        self.reconcile_at(Timestamp::now()).await
    }

    /// One reconcile at this time.
    pub(crate) async fn reconcile_at(&self, now: Timestamp) -> Result<Done, Error> {
        let shop = self.shop().await;
        let withheld = Refusals::default();
        // On the heap: tests await it deep within their own futures, and a thread of theirs has 2 MB of stack.
        let done = Box::pin(reconcile(&shop, &self.context, &withheld, now)).await?;
        done.failure.clone().map_or(Ok(done), Err)
    }

    /// What the controller does with a Shop that is being deleted.
    pub(crate) async fn finalize(&self) {
        let shop = self
            .api::<ParsedShop>()
            .get("demo")
            .await
            .expect("the Shop");
        deletion::finalize(&shop, &self.context.cluster)
            .await
            .expect("finalized");
    }

    /// Reconciles until this holds. Errors of single rounds are part of life: the next round may see more.
    pub(crate) async fn reconcile_until<F: Future<Output = bool>>(
        &self,
        what: &str,
        holds: impl Fn() -> F,
    ) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let result = self.reconcile().await;
            if holds().await {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "not in time: {what}; last: {result:?}; {:#?}",
                self.status().await
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn reconcile_until_status(
        &self,
        what: &str,
        holds: impl Fn(&ShopStatus) -> bool,
    ) -> ShopStatus {
        self.reconcile_until(what, || async { holds(&self.status().await) })
            .await;
        self.status().await
    }

    /// From an applied Shop to Ready, with all hands.
    pub(crate) async fn bring_up(&self) {
        self.reconcile().await.expect("the first reconcile");
        self.start_stores().await;
        self.reconcile_until("all Jobs are made", || async {
            self.list::<Job>().await.len() == 5
        })
        .await;
        self.finish_jobs().await;
        self.reconcile_until("all Deployments are made", || async {
            self.list::<Deployment>().await.len() == 5
        })
        .await;
        self.reconcile_until("Ready", || async {
            self.roll_all().await;
            is_ready(&self.status().await)
        })
        .await;
        self.until_quiet().await;
    }

    /// To Ready, with all hands, whatever services there are.
    pub(crate) async fn settle(&self) {
        self.reconcile_until("Ready", || async {
            self.start_stores().await;
            self.finish_jobs().await;
            self.roll_all().await;
            is_ready(&self.status().await)
        })
        .await;
        self.until_quiet().await;
    }

    /// Reconciles until it no longer asks to look again at once, which is what it does while it prepares databases.
    pub(crate) async fn until_databases_are_prepared(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.reconcile().await.expect("a reconcile").next_check == RETRY_DATABASE {
            assert!(
                Instant::now() < deadline,
                "databases are not prepared in time"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Reconciles until a round sends nothing: every watch has caught up.
    pub(crate) async fn until_quiet(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let before = self.requests().len();
            self.reconcile().await.expect("a reconcile");
            let sent = self.requests().split_off(before);
            if sent.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "still not quiet: {sent:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What the operator sent so far, but for watches and the lists they begin with.
    pub(crate) fn requests(&self) -> Vec<Request> {
        let here = format!("/namespaces/{}/", self.namespace);
        let requests = self.requests.lock().expect("no panic");
        requests
            .iter()
            .filter(|(verb, path)| !matches!(&**verb, "WATCH" | "LIST") && path.contains(&here))
            .cloned()
            .collect()
    }

    /// Everything the operator ever asked of the API server.
    pub(crate) fn all_requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no panic").clone()
    }

    pub(crate) async fn list<K>(&self) -> Vec<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        self.api::<K>()
            .list(&ListParams::default())
            .await
            .expect("a list")
            .items
    }

    /// The StatefulSet controller and the kubelet: every database and the broker have a volume and run.
    pub(crate) async fn start_stores(&self) {
        for set in self.list::<StatefulSet>().await {
            make_claim(&self.api(), &set).await;
            let status = json!({"observedGeneration": set.metadata.generation, "replicas": 1, "readyReplicas": 1, "availableReplicas": 1});
            self.set_status::<StatefulSet>(&set.name_any(), status)
                .await;
        }
    }

    /// The Job controller: every Job that is not done yet succeeds.
    pub(crate) async fn finish_jobs(&self) {
        for job in self.list::<Job>().await {
            let status = job.status.clone().unwrap_or_default();
            if status.succeeded.is_none() && status.conditions.is_none() {
                self.set_status::<Job>(
                    &job.name_any(),
                    json!({"startTime": Timestamp::now().to_string(), "succeeded": 1}),
                )
                .await;
            }
        }
    }

    /// The controller of autoscalers: no fewer pods than it may have, unless somebody has switched the service off.
    async fn scale_to_minimum(&self) {
        for autoscaler in self.list::<HorizontalPodAutoscaler>().await {
            let (name, spec) = (autoscaler.name_any(), autoscaler.spec.expect("a spec"));
            let deployments = self.api::<Deployment>();
            let Some(deployment) = deployments.get_opt(&name).await.expect("an answer") else {
                continue;
            };
            let count = deployment.spec.and_then(|spec| spec.replicas).unwrap_or(1);
            let min = spec.min_replicas.unwrap_or(1);
            if (1..min).contains(&count) {
                let patch = Patch::Merge(json!({"spec": {"replicas": min}}));
                let params = PatchParams::default();
                deployments
                    .patch_scale(&name, &params, &patch)
                    .await
                    .expect("scaled");
            }
        }
    }

    /// The Deployment controller: all pods of all Deployments are new and ready.
    pub(crate) async fn roll_all(&self) {
        self.scale_to_minimum().await;
        for deployment in self.list::<Deployment>().await {
            self.roll(&deployment.name_any()).await;
        }
    }

    pub(crate) async fn roll(&self, name: &str) {
        let deployment = self
            .api::<Deployment>()
            .get(name)
            .await
            .expect("a Deployment");
        let count = deployment.spec.and_then(|spec| spec.replicas).unwrap_or(1);
        let status = json!({
            "observedGeneration": deployment.metadata.generation, "replicas": count, "updatedReplicas": count,
            "readyReplicas": count, "availableReplicas": count,
        });
        self.set_status::<Deployment>(name, status).await;
    }

    pub(crate) async fn set_status<K>(&self, name: &str, status: Value)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let patch = Patch::Merge(json!({"status": status}));
        self.api::<K>()
            .patch_status(name, &PatchParams::default(), &patch)
            .await
            .expect("a status");
    }

    /// Generation of every Deployment and StatefulSet, resourceVersion of everything else that the operator makes.
    pub(crate) async fn versions(&self) -> Vec<String> {
        let mut versions = Vec::new();
        macro_rules! versions_of {
            ($($kind:ty),+) => {$(
                for object in self.list::<$kind>().await {
                    versions.push(format!("{} {} {}", <$kind>::kind(&()), object.name_any(), object.resource_version().unwrap_or_default()));
                }
            )+};
        }
        use k8s_openapi::api::{
            core::v1::{Secret, Service, ServiceAccount},
            networking::v1::NetworkPolicy,
            policy::v1::PodDisruptionBudget,
        };
        versions_of!(
            ControllerRevision,
            Deployment,
            StatefulSet,
            Job,
            Service,
            ServiceAccount,
            Secret,
            NetworkPolicy,
            PodDisruptionBudget,
            HorizontalPodAutoscaler,
            Shop
        );
        versions
    }
}

async fn new_context(client: Client, config: Config) -> (Context, Watches) {
    let metrics = Metrics::default();
    let (cluster, mut changed, pump) = Cluster::watch(&client, &config.watch_namespaces, &metrics);
    let drain = async move { while futures::StreamExt::next(&mut changed).await.is_some() {} };
    let watches = [pump, tokio::spawn(drain)].map(AbortOnDropHandle::new);
    tokio::time::timeout(PATIENCE, cluster.ready())
        .await
        .expect("in time")
        .expect("stores are filled");
    let reporter = Reporter {
        controller: "shop-operator".into(),
        instance: None,
    };
    // Of programs there is only this one.
    let identity = format!("{:?}", config.image_registry);
    let context = Context::new(
        client.clone(),
        cluster,
        Databases::redirected(test_database()),
        config,
        metrics,
        reporter,
        identity,
    );
    (context, watches)
}

/// The StatefulSet controller: the claim of the template, unless it is there.
pub(crate) async fn make_claim(claims: &Api<PersistentVolumeClaim>, set: &StatefulSet) {
    let spec = set.spec.clone().expect("a spec");
    let mut claim = spec.volume_claim_templates.expect("templates").remove(0);
    claim.metadata.name = Some(names::claim(&set.name_any()));
    match claims.create(&PostParams::default(), &claim).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        created => drop(created.expect("a claim")),
    }
}

pub(crate) async fn apply_shop(
    admin: &Client,
    namespace: &str,
    name: &str,
    spec: Value,
) -> Result<Shop, kube::Error> {
    let shop = json!({
        "apiVersion": "shopkeeper.dev/v1alpha1", "kind": "Shop",
        "metadata": {"name": name, "namespace": namespace}, "spec": spec,
    });
    let params = PatchParams::apply("user").force().validation_strict();
    Api::<Shop>::namespaced(admin.clone(), namespace)
        .patch(name, &params, &Patch::Apply(&shop))
        .await
}

pub(crate) fn is_ready(status: &ShopStatus) -> bool {
    condition(status, "Ready").0 == "True"
}

/// Status, reason and message of a condition.
pub(crate) fn condition(status: &ShopStatus, type_: &str) -> (String, String, String) {
    let found = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == type_);
    found
        .map(|c| (c.status.clone(), c.reason.clone(), c.message.clone()))
        .unwrap_or_default()
}

pub(crate) fn phase(status: &ShopStatus, service: &str) -> Option<Phase> {
    status
        .services
        .iter()
        .find(|s| s.name == service)
        .map(|service| service.phase)
}
