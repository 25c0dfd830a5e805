use anyhow::Result;
use e2e::cluster::condition;
use e2e::wait::until;
use serde_json::{Value, json};

use crate::support::{PATIENCE, World, world};

fn shop(name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "shopkeeper.dev/v1alpha1", "kind": "Shop", "metadata": { "name": name }, "spec": spec })
}

#[tokio::test]
async fn an_invalid_shop_is_refused_at_admission_with_the_path_and_the_reason() -> Result<()> {
    let world = world().await?;
    let with = |search: Value| json!({ "version": "0.1.0", "services": { "search": search } });
    for (name, spec, path) in [
        (
            "both",
            with(json!({ "replicas": 2, "autoscaling": { "minReplicas": 1, "maxReplicas": 3 } })),
            "spec.services.search",
        ),
        (
            "order",
            with(json!({ "autoscaling": { "minReplicas": 5, "maxReplicas": 3 } })),
            "spec.services.search.autoscaling",
        ),
        (
            "image",
            with(json!({ "version": "0.1.0", "image": "registry.example/search:1" })),
            "spec.services.search",
        ),
        (
            "negative",
            with(json!({ "replicas": -1 })),
            "spec.services.search.replicas",
        ),
        (
            "a-name-that-is-longer-than-thirty-characters",
            json!({ "version": "0.1.0" }),
            "30",
        ),
    ] {
        let error = world
            .cluster
            .create_shop(&shop(name, &spec))
            .await
            .expect_err("refused");
        // Rules and schema write keys of maps in two ways.
        let message = error.to_string().replace("[search]", ".search");
        assert!(message.contains(path), "{name}: {message}");
    }
    let before = world.cluster.shop().await?["metadata"]["generation"].clone();
    let refused = world
        .cluster
        .patch_shop(json!({ "spec": { "services": { "search": { "replicas": 2, "autoscaling": { "minReplicas": 1, "maxReplicas": 3 } } } } }))
        .await;
    assert!(refused.is_err());
    assert_eq!(
        world.cluster.shop().await?["metadata"]["generation"],
        before,
        "the running shop is untouched"
    );
    Ok(())
}

/// Makes a mistake that only the controller can see, waits for the sentence about it, and takes it back.
async fn mistake(world: &World, patch: Value, names: &str, take_back: Value) -> Result<()> {
    world.cluster.patch_shop(patch).await?;
    until(
        &format!("the Shop says what is wrong with {names}"),
        PATIENCE,
        || async {
            let shop = world.cluster.shop().await?;
            match condition(&shop, "Ready") {
                Some((false, message)) if message.contains(names) => Ok(Some(())),
                other => anyhow::bail!("Ready is {other:?}"),
            }
        },
    )
    .await?;
    // The rest of the shop goes on: the old pods still serve.
    let found = world.shop.search(&[("limit", "1")]).await?;
    assert!(found["total"].is_u64());
    let buyer = world.shop.register("Ida").await?;
    let sku = world.shop.product_for_sale(&world.admin, 1).await?;
    let order = world.shop.buy(&buyer, &sku, 1, "tok_approved").await?;
    assert_eq!(order["state"], "paid");
    world.cluster.patch_shop(take_back).await?;
    world.cluster.ready(PATIENCE).await?;
    Ok(())
}

fn payments(value: Value) -> Value {
    json!({ "spec": { "services": { "payments": value } } })
}

#[tokio::test]
async fn a_wrong_image_becomes_a_sentence_and_the_shop_goes_on() -> Result<()> {
    let world = world().await?;
    let wrong = payments(json!({ "image": "localhost/shopkeeper/payments:does-not-exist" }));
    mistake(
        &world,
        wrong,
        "payments:does-not-exist",
        payments(json!({ "image": null })),
    )
    .await
}

#[tokio::test]
async fn impossible_resources_become_a_sentence_and_the_shop_goes_on() -> Result<()> {
    let world = world().await?;
    let wrong = payments(json!({ "resources": { "requests": { "cpu": "1000" } } }));
    mistake(
        &world,
        wrong,
        "payments",
        payments(json!({ "resources": null })),
    )
    .await
}

#[tokio::test]
async fn a_missing_secret_becomes_a_sentence_and_the_shop_goes_on() -> Result<()> {
    let world = world().await?;
    let wrong = json!({ "spec": { "email": {
        "from": "Shop <shop@example.com>",
        "smtp": { "host": "mail.example.com", "port": 587, "tls": "StartTls", "credentialsFrom": { "name": "no-such-secret" } },
    } } });
    let take_back =
        json!({ "spec": { "email": { "smtp": null, "from": "Demo Shop <shop@example.com>" } } });
    mistake(&world, wrong, "no-such-secret", take_back).await
}
