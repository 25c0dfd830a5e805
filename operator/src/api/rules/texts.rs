//! Texts that a program reads later.

use serde_json::{Value, json};

use super::shop;

/// The same texts at admission and by the operator, which sees Shops that were stored under an older CRD.
#[track_caller]
fn texts(path: &str, spec: impl Fn(&str) -> Value, fine: &[&str], wrong: &[&str]) {
    let config = crate::config::Config {
        image_registry: Some("registry.example".into()),
        postgres_image: "postgres:17".into(),
        nats_image: "nats:2".into(),
        pod_name: "operator-0".into(),
        pod_namespace: "operators".into(),
        install_name: "shop-operator".into(),
        watch_namespaces: crate::cluster::Scope::Cluster,
        dns_ports: vec![53],
        api_server_ports: vec![6443],
        overrides: crate::config::Overrides::Allowed,
        admin_addr: ([127, 0, 0, 1], 0).into(),
    };
    for text in fine {
        let shop = shop(spec(text));
        let admitted = shop.validate_cel();
        assert!(admitted.is_ok(), "{text:?}: {:?}", admitted.err());
        let valid = crate::model::validate::validate(&shop, &config);
        assert!(valid.is_ok(), "{text:?}: {:?}", valid.err());
    }
    for text in wrong {
        let shop = shop(spec(text));
        let sentence = shop.validate_cel().err().map(|error| error.to_string());
        let sentence = sentence.unwrap_or_default();
        assert!(
            sentence.contains(path) && sentence.contains("must be"),
            "{text:?}: {sentence}"
        );
        let found = crate::model::validate::validate(&shop, &config)
            .err()
            .unwrap_or_default();
        let begin = format!("{path}: must be");
        assert!(
            found.len() == 1 && found[0].starts_with(&begin),
            "{text:?}: {found:?}"
        );
    }
}

#[test]
fn the_sender_of_mails_is_an_address() {
    let long = |count: usize| format!("{}@b.example", "a".repeat(count));
    texts(
        "spec.email.from",
        |from| json!({"version": "1", "email": {"from": from}}),
        &[
            "a@b",
            "shop@example.com",
            "<shop@example.com>",
            "Demo Shop <shop@example.com>",
            "Bücher & Café 東京 <shop@example.com>",
            "O'Neill <o'neill+orders@example.com>",
            "Shop No. 5 <a.b@c.example>",
            "\"Shop, Inc. (EU)\" <shop@example.com>",
            &long(64),
        ],
        &[
            "no address",
            "a@b.example\nBcc: x@y.example",
            "Shop\n <a@b.example>",
            "Shop, Inc. <a@b.example>",
            "Shop <a@b.example",
            "Shop a@b.example",
            "\"Shop <a@b.example>",
            "\"Sh\"op\" <a@b.example>",
            "a@b@c",
            "@b.example",
            "a@",
            "a b@c.example",
            "a..b@c.example",
            ".a@b.example",
            "a@-b.example",
            "a@b..example",
            "a@b_c.example",
            "a@b.example ",
            "   ",
            "ü@b.example",
            "a@b.example, c@d.example",
            "\u{2028}.Shop <a@b.example>",
            &long(65),
            &format!("a@{}.example", "b".repeat(64)),
        ],
    );
}

#[test]
fn the_mail_server_is_a_host() {
    texts(
        "spec.email.smtp.host",
        |host| json!({"version": "1", "email": {"from": "a@b.example", "smtp": {"host": host}}}),
        &[
            "mail",
            "mail.example.com",
            "mail.example.com.",
            "10.0.0.1",
            "::1",
            "2001:db8::25",
        ],
        &[
            "bad host!",
            "mail.example.com:25",
            "smtp://mail",
            "-mail",
            "mail..example",
            "mail\n",
            "[::1]",
            "mäil",
            ".",
            " ",
        ],
    );
}

#[test]
fn traces_go_to_a_url_with_a_host() {
    texts(
        "spec.telemetry.otlp.endpoint",
        |url| json!({"version": "1", "telemetry": {"otlp": {"endpoint": url}}}),
        &[
            "http://collector:4318",
            "https://otlp.example.com/v1/shop",
            "http://10.0.0.1:65535/",
            "http://[::1]:4318",
        ],
        &[
            "http://x y",
            "http://:4318",
            "http://",
            "collector:4318",
            "ftp://collector",
            "http://x:port",
            "http://x:0",
            "http://x:65536",
            "http://x:4318:1",
            "http://x/a b",
            "http://x\n",
            "http://x?a=b",
            "http://ü",
        ],
    );
}

#[test]
fn what_is_logged_is_a_level_or_levels_of_modules() {
    texts(
        "spec.telemetry.logs.level",
        |level| json!({"version": "1", "telemetry": {"logs": {"level": level}}}),
        &[
            "info",
            "WARN",
            "off",
            "warn,shop_orders=debug",
            "shop_orders::saga=trace,info",
        ],
        &[
            "loud",
            "info,shop_orders=loud",
            "info, warn",
            "info,",
            "=info",
            "info\n",
            "a=b=info",
            "inof",
        ],
    );
}

#[test]
fn a_link_is_a_url_that_says_where_what_it_is_about_belongs() {
    let of = |field: &'static str| move |link: &str| json!({"version": "1", "telemetry": {"links": {field: link}}});
    let fine = [
        "https://jaeger.example/trace/{traceId}",
        "http://localhost:16686/trace/{traceId}?a=b&c=%7B%22d%22%7D#x",
        "http://[::1]:3000/#/{traceId}/{traceId}",
        "https://x?trace={traceId}",
    ];
    let wrong = [
        "https://jaeger.example/trace/",
        "{traceId}",
        "https://{traceId}.example/",
        "https://jaeger.example:{traceId}",
        "ftp://jaeger.example/{traceId}",
        "javascript:alert('{traceId}')",
        "//jaeger.example/{traceId}",
        "https:///{traceId}",
        "https://somebody:password@jaeger.example/{traceId}",
        "https://jaeger.example/{traceID}",
        "https://jaeger.example/{traceId}/{spanId}",
        "https://jaeger.example/{traceId}}",
        "https://jaeger.example/{{traceId}}",
        "https://jaeger.example/ {traceId}",
        "https://jaeger.example/\"{traceId}\"",
        "https://jaeger.example/{traceId}\n",
        "https://jaeger.example/<{traceId}>",
        "https://jaeger.example/$(DATABASE_URL)/{traceId}",
    ];
    texts("spec.telemetry.links.trace", of("trace"), &fine, &wrong);
    texts("spec.telemetry.links.logs", of("logs"), &fine, &wrong);

    let of_order = [
        "https://logs.example/?query=order_id:={orderId}",
        "https://logs.example/{orderId}?trace={traceId}",
    ];
    texts("spec.telemetry.links.logs", of("logs"), &of_order, &[]);
    texts("spec.telemetry.links.trace", of("trace"), &[], &of_order);
}

#[test]
fn images_have_no_scheme() {
    texts(
        "spec.images.registry",
        |registry| json!({"version": "1", "images": {"registry": registry}}),
        &[
            "example",
            "ghcr.io/example",
            "localhost/shopkeeper",
            "127.0.0.1:5000/a/b_c",
            "Registry.example:443",
        ],
        &[
            "http://x",
            "https://ghcr.io/example",
            "ghcr.io/example/",
            "ghcr.io//example",
            "ghcr.io/Example",
            "x:port",
            "a b",
            "ghcr.io/example:1",
            "..",
            "ghcr.io/example\n",
        ],
    );
    let digest = format!("ghcr.io/a/b@sha256:{}", "0".repeat(64));
    let fine = [
        "postgres",
        "postgres:17",
        "ghcr.io/a/b:1.2.3",
        "localhost:5000/a:x",
        &digest,
    ];
    let wrong = [
        "http://x",
        "Postgres:17",
        "a:b:c",
        "a:",
        "a@b",
        "a/",
        "a b:1",
        "a@sha256:0123",
        "ghcr.io/a/b:1\n",
        ":1",
    ];
    for field in ["postgres", "nats"] {
        let spec = |image: &str| json!({"version": "1", "images": {field: image}});
        texts(&format!("spec.images.{field}"), spec, &fine, &wrong);
    }
    let spec = |image: &str| json!({"version": "1", "services": {"orders": {"image": image}}});
    texts("spec.services.orders.image", spec, &fine, &wrong);
}
