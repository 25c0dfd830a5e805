//! The environment of a service, as the operator sets it (operator/src/objects/deployment.rs).

use crate::document::Ports;
use crate::run::Run;
use crate::stage::Stage;

/// Names and values.
pub(crate) type Variables = Vec<(String, String)>;

pub(crate) struct Environment {
    /// What may stand in a file as well.
    pub(crate) secrets: Variables,
    pub(crate) plain: Variables,
}

impl Environment {
    pub(crate) fn of(run: &Run, stage: &Stage) -> Self {
        Self {
            secrets: secrets(run, stage),
            plain: plain(run, stage),
        }
    }
}

fn secrets(run: &Run, stage: &Stage) -> Variables {
    let password = &run.backends.password;
    let mut secrets = run.secrets.clone();
    if let Some(database) = &stage.database {
        let (role, address) = (run.backends.role(), stage.database_way.address);
        let url = format!("postgres://{role}:{password}@{address}/{database}");
        secrets.push(("DATABASE_URL".to_owned(), url));
    }
    let (user, address) = (&stage.user, stage.broker_way.address);
    let url = format!("nats://{user}:{password}@{address}");
    secrets.push(("NATS_URL".to_owned(), url));
    secrets
}

fn plain(run: &Run, stage: &Stage) -> Variables {
    let document = &run.document;
    let mut plain = vec![];
    let mut set = |name: &str, value: String| plain.push((name.to_owned(), value));
    set("LOG", "info".to_owned());
    for call in &document.calls {
        let (scheme, address) = (call.protocol.scheme(), run.peers.address);
        set(&call.url, format!("{scheme}://{address}"));
    }
    for setting in &document.settings {
        set(&setting.name, setting.value.clone());
    }
    for folder in &document.scratch {
        set(&folder.variable, folder.path.clone());
    }
    // The broker sets aside what a stream may hold, and there are many here.
    if document.limits_stream {
        set("EVENTS_MAX_BYTES", "16777216".to_owned());
    }
    let (ports, usual) = (document.ports, Ports::default());
    if (ports.http, ports.admin) != (usual.http, usual.admin) {
        set("HTTP_ADDR", format!("0.0.0.0:{}", ports.http));
        set("ADMIN_ADDR", format!("0.0.0.0:{}", ports.admin));
    }
    if let Some(port) = ports.grpc.filter(|port| *port != 8081) {
        set("GRPC_ADDR", format!("0.0.0.0:{port}"));
    }
    if document.sends_mail {
        let sink = stage.sink.address;
        set("MAIL_FROM", "Shop <shop@shop.example>".to_owned());
        set("SMTP_HOST", sink.ip().to_string());
        set("SMTP_PORT", sink.port().to_string());
        set("SMTP_TLS", "None".to_owned());
    }
    plain.extend(run.env.iter().cloned());
    plain
}
