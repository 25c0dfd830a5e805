//! The service's own settings.

use chassis::settings::wrong;
use chassis::{Env, SettingError};
use lettre::message::Mailbox;
use secrecy::SecretString;
use url::Url;

/// What a mail is signed with when MAIL_FROM does not say it.
const DEFAULT_FROM: &str = "Shop <no-reply@shop.example>";

pub struct Settings {
    /// Whose keys access tokens are checked with.
    pub(crate) users_url: Url,
    /// The sender of every mail.
    pub(crate) from: Mailbox,
    /// Where mails go; `None` keeps them.
    pub(crate) smtp: Option<Smtp>,
}

/// The mail server to hand mails to.
#[derive(Clone)]
pub(crate) struct Smtp {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: SmtpTls,
    pub(crate) login: Option<Login>,
}

#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) username: String,
    pub(crate) password: SecretString,
}

/// How the connection to the mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString)]
#[strum(parse_err_ty = String, parse_err_fn = unknown_tls)]
pub(crate) enum SmtpTls {
    /// Not at all: for a relay inside the cluster.
    None,
    /// Begins plain and must become TLS before anything is said.
    StartTls,
    /// TLS from the first byte.
    Tls,
}

impl SmtpTls {
    fn usual_port(self) -> u16 {
        match self {
            Self::None => 25,
            Self::StartTls => 587,
            Self::Tls => 465,
        }
    }
}

fn unknown_tls(text: &str) -> String {
    format!("{text:?} is none of None, StartTls and Tls")
}

impl Settings {
    pub(crate) fn read(env: &Env) -> Result<Self, SettingError> {
        let from: Option<Mailbox> = env.optional("MAIL_FROM")?;
        let smtp = smtp(env)?;
        if smtp.is_some() && from.is_none() {
            return Err(wrong(
                "MAIL_FROM",
                "it must be given with SMTP_HOST, like \"Demo <shop@example.com>\"",
            ));
        }
        Ok(Self {
            users_url: env.required(
                "USERS_URL",
                "the base URL of the service users, like http://users:8080",
            )?,
            from: match from {
                Some(from) => from,
                None => DEFAULT_FROM.parse().map_err(|e| wrong("MAIL_FROM", e))?,
            },
            smtp,
        })
    }

    /// The shop's name as mails are signed.
    pub(crate) fn shop_name(&self) -> String {
        self.from
            .name
            .clone()
            .unwrap_or_else(|| self.from.email.domain().to_owned())
    }
}

fn smtp(env: &Env) -> Result<Option<Smtp>, SettingError> {
    let Some(host) = env.optional::<String>("SMTP_HOST")? else {
        return Ok(None);
    };
    let tls = env.or("SMTP_TLS", SmtpTls::StartTls)?;
    let login = login(env)?;
    if login.is_some() && tls == SmtpTls::None {
        return Err(wrong(
            "SMTP_TLS",
            "None would send the password unencrypted: give StartTls or Tls, or no SMTP_USERNAME",
        ));
    }
    Ok(Some(Smtp {
        host,
        port: env.or("SMTP_PORT", tls.usual_port())?,
        tls,
        login,
    }))
}

fn login(env: &Env) -> Result<Option<Login>, SettingError> {
    match (
        env.optional("SMTP_USERNAME")?,
        env.optional_secret("SMTP_PASSWORD")?,
    ) {
        (None, None) => Ok(None),
        (Some(username), Some(password)) => Ok(Some(Login { username, password })),
        (Some(_), None) => Err(wrong(
            "SMTP_PASSWORD",
            "it is missing although SMTP_USERNAME is given",
        )),
        (None, Some(_)) => Err(wrong(
            "SMTP_USERNAME",
            "it is missing although SMTP_PASSWORD is given",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let users = [("USERS_URL", "http://users:8080")];
        let all = users.iter().chain(variables).copied();
        Settings::read(&Env::of(all)).map_err(|e| e.to_string())
    }

    #[test]
    fn without_a_mail_server_mails_are_kept() {
        let settings = read(&[]).unwrap();
        assert!(settings.smtp.is_none());
        assert_eq!(settings.shop_name(), "Shop");
    }

    #[test]
    fn a_mail_server_has_the_usual_port_and_must_encrypt() {
        let given = [
            ("SMTP_HOST", "mail.example.com"),
            ("MAIL_FROM", "shop@example.com"),
        ];
        let settings = read(&given).unwrap();
        assert_eq!(settings.shop_name(), "example.com");
        let smtp = settings.smtp.unwrap();
        assert_eq!((smtp.port, smtp.tls), (587, SmtpTls::StartTls));
    }

    #[test]
    fn wrong_settings_are_named() {
        let smtp = ("SMTP_HOST", "mail.example.com");
        let from = ("MAIL_FROM", "Demo <shop@example.com>");
        let tests = [
            (
                vec![smtp],
                "setting MAIL_FROM is wrong: it must be given with SMTP_HOST",
            ),
            (vec![("MAIL_FROM", "nobody")], "setting MAIL_FROM is wrong"),
            (
                vec![smtp, from, ("SMTP_TLS", "Maybe")],
                "setting SMTP_TLS is wrong: \"Maybe\" is none of",
            ),
            (
                vec![smtp, from, ("SMTP_PORT", "99999")],
                "setting SMTP_PORT is wrong",
            ),
            (
                vec![smtp, from, ("SMTP_USERNAME", "u")],
                "setting SMTP_PASSWORD is wrong",
            ),
            (
                vec![smtp, from, ("SMTP_PASSWORD", "p")],
                "setting SMTP_USERNAME is wrong",
            ),
            (
                vec![
                    smtp,
                    from,
                    ("SMTP_USERNAME", "u"),
                    ("SMTP_PASSWORD", "p"),
                    ("SMTP_TLS", "None"),
                ],
                "setting SMTP_TLS is wrong: None would send the password unencrypted",
            ),
        ];
        for (variables, sentence) in tests {
            let error = read(&variables).err().unwrap();
            assert!(error.starts_with(sentence), "{error}");
        }
    }
}
