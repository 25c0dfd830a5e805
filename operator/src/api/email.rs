//! How mail leaves a shop.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::format::{SENDER, SMTP_HOST};

/// How e-mail leaves the shop.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct EmailSpec {
    /// The sender, for example `Demo <shop@example.com>`.
    #[schemars(length(min = 3, max = 320))]
    #[x_kube(validation = SENDER.rule())]
    pub from: String,

    /// The mail server. Without it mails are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smtp: Option<SmtpSpec>,
}

/// A mail server.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.credentialsFrom) && has(self.tls) && self.tls == 'None')")
        .message("tls None would send the password of credentialsFrom unencrypted: say StartTls or Tls, or leave credentialsFrom out")
)]
pub struct SmtpSpec {
    /// Host name or address.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = SMTP_HOST.rule())]
    pub host: String,
    /// Port. Default: 587, with `tls: Tls` 465, with `tls: None` 25.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// How the connection is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<SmtpTls>,
    /// A Secret with the keys `username` and `password`. Without it mail is handed over without a login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_from: Option<SecretRef>,
}

impl SmtpSpec {
    /// How the connection is encrypted, where the Shop does not say.
    pub fn tls(&self) -> SmtpTls {
        self.tls.unwrap_or(SmtpTls::StartTls)
    }

    /// The port, by default the one that is usual for the encryption (RFC 8314, RFC 5321).
    pub fn port(&self) -> i32 {
        self.port.unwrap_or(match self.tls() {
            SmtpTls::None => 25,
            SmtpTls::StartTls => 587,
            SmtpTls::Tls => 465,
        })
    }
}

/// How a connection to a mail server is encrypted. Default: StartTls.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// Not at all.
    None,
    /// After the greeting; required.
    StartTls,
    /// From the first byte.
    Tls,
}

impl SmtpTls {
    /// The word the email service understands.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::StartTls => "StartTls",
            Self::Tls => "Tls",
        }
    }
}

/// A Secret in the Shop's namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = super::OBJECT_NAME))]
    pub name: String,
}
