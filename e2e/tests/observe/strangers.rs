//! Nobody but those who have to reaches the parts of the stack, and of these only VictoriaMetrics reaches administration ports.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use e2e::pods::is_ready;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, LogParams, PostParams};
use serde_json::json;
use uuid::Uuid;

use crate::world::{STACK, World, ended, world};

/// A new pod is open for a moment, until the policies have reached its node: so a port counts as closed when it was so three times in a
/// row. What listens there speaks HTTP, and psql says what it received from it; a line has to end in what it sends, here in the name.
const ASK: &str = r#"name='a
b'
for target in $TARGETS; do
    host=${target%:*} port=${target##*:} closed=0 asked=0
    while [ $closed -lt 3 ] && [ $asked -lt 20 ]; do
        asked=$((asked + 1))
        case $(PGSSLMODE=disable PGCONNECT_TIMEOUT=2 psql -w -U "$name" -h $host -p $port -c '' 2>&1) in
            *received*) closed=0 ;;
            *) closed=$((closed + 1)) ;;
        esac
        sleep 0.2
    done
    if [ $closed = 3 ]; then echo "$target closed"; else echo "$target open"; fi
done"#;

#[tokio::test]
#[ignore = "needs the stack: `make observe-proof`"]
async fn a_stranger_reaches_no_part_of_the_stack_and_in_the_stack_no_administration_port()
-> Result<()> {
    let world = world().await?;
    let address = async |namespace: &str, labels: &str| {
        let pods = world.pods_of(namespace);
        let listed = pods.list(&ListParams::default().labels(labels)).await?;
        let ready = listed.items.into_iter().find(is_ready);
        let address = ready.and_then(|pod| pod.status?.pod_ip);
        address.with_context(|| format!("no ready pod with {labels}"))
    };
    let orders = "app.kubernetes.io/name=orders,app.kubernetes.io/component=service";
    let orders = address(&world.cluster.namespace, orders).await?;
    let mut targets = vec![format!("{orders}:9090")];
    for (part, ports) in [
        ("traces", &[4318, 16686, 8888, 8889][..]),
        ("logs", &[9428]),
        ("metrics", &[8428]),
        ("alerts", &[8880]),
        ("vlagent", &[9429]),
    ] {
        let address = address(STACK, &format!("app.kubernetes.io/name={part}")).await?;
        targets.extend(ports.iter().map(|port| format!("{address}:{port}")));
    }
    let closed = targets.iter().map(|t| (t.clone(), "closed".to_owned()));
    let closed: BTreeMap<_, _> = closed.collect();

    // Its API is for everybody: what is open is told as such.
    let open = format!("{orders}:8080");
    let answers = asked_from(
        &world,
        "default",
        &[&targets[..], std::slice::from_ref(&open)].concat(),
    )
    .await?;
    let mut expected = closed.clone();
    expected.insert(open, "open".into());
    assert_eq!(answers, expected, "from another namespace");
    assert_eq!(
        asked_from(&world, STACK, &targets).await?,
        closed,
        "from the stack's own"
    );
    Ok(())
}

/// What a new pod without labels finds.
async fn asked_from(
    world: &World,
    namespace: &str,
    targets: &[String],
) -> Result<BTreeMap<String, String>> {
    let name = format!("stranger-{}", &Uuid::new_v4().simple().to_string()[..8]);
    let pods = world.pods_of(namespace);
    let pod = json!({
        "metadata": { "name": name },
        "spec": { "restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [{
            "name": "stranger", "image": world.image_with_shell().await?, "command": ["sh", "-c", ASK],
            "env": [{ "name": "TARGETS", "value": targets.join(" ") }],
        }] },
    });
    pods.create(&PostParams::default(), &serde_json::from_value(pod)?)
        .await?;
    let answers = answers(&pods, &name).await;
    pods.delete(&name, &DeleteParams::default()).await?;
    answers
}

async fn answers(pods: &Api<Pod>, name: &str) -> Result<BTreeMap<String, String>> {
    ended(pods, name).await?;
    let log = pods.logs(name, &LogParams::default()).await?;
    let pairs = log.lines().filter_map(|line| line.split_once(' '));
    Ok(pairs.map(|(of, how)| (of.into(), how.into())).collect())
}
