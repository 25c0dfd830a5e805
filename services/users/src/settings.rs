//! The service's own settings.

use chassis::{Env, SettingError, settings::wrong};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    access_token::Seed,
    admin::{self, AdminAccount},
    email_address::EmailAddress,
    password_text,
};

pub struct Settings {
    /// `SIGNING_SEED`: the private key behind all access tokens.
    pub(crate) signing_seed: Seed,
    /// `ADMIN_EMAIL` and `ADMIN_PASSWORD`.
    pub(crate) admin: AdminAccount,
}

impl Settings {
    pub(crate) fn read(env: &Env) -> Result<Self, SettingError> {
        let seed = env.secret(
            "SIGNING_SEED",
            "64 hex digits, for example from `openssl rand -hex 32`",
        )?;
        let email: String = env.required(
            "ADMIN_EMAIL",
            "the e-mail address of the first administrator",
        )?;
        let password = env.secret("ADMIN_PASSWORD", "the password of the first administrator")?;
        let email = EmailAddress::parse(&email)
            .map_err(|cause| wrong("ADMIN_EMAIL", format!("it {cause}")))?;
        password_text::check_new(&password, email.as_str(), admin::NAME)
            .map_err(|cause| wrong("ADMIN_PASSWORD", format!("it {cause}")))?;
        Ok(Self {
            signing_seed: parse_seed(&seed).ok_or_else(|| {
                wrong("SIGNING_SEED", "it must be 64 hex digits (32 random bytes)")
            })?,
            admin: AdminAccount { email, password },
        })
    }
}

fn parse_seed(text: &SecretString) -> Option<Seed> {
    let mut seed = Box::new([0; 32]);
    hex::decode_to_slice(text.expose_secret().trim(), &mut *seed).ok()?;
    Some(Seed::new(seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 3] = [
        (
            "SIGNING_SEED",
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        ),
        ("ADMIN_EMAIL", "admin@shop.example"),
        ("ADMIN_PASSWORD", "correct horse battery"),
    ];

    fn refusal(name: &str, value: &str) -> String {
        let changed = GOOD.into_iter().chain([(name, value)]);
        match Settings::read(&Env::of(changed)) {
            Ok(_) => panic!("{name}={value} was accepted"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn good_settings_are_read() {
        let settings = Settings::read(&Env::of(GOOD)).ok().unwrap();
        assert_eq!(settings.signing_seed.expose_secret()[..2], [0x9d, 0x61]);
        assert_eq!(settings.admin.email.as_str(), "admin@shop.example");
    }

    #[test]
    fn a_wrong_setting_is_named_and_a_secret_is_not_repeated() {
        for seed in ["abc", &"g".repeat(64), &"a".repeat(66)] {
            let error = refusal("SIGNING_SEED", seed);
            assert_eq!(
                error,
                "setting SIGNING_SEED is wrong: it must be 64 hex digits (32 random bytes)"
            );
        }
        let error = refusal("ADMIN_PASSWORD", "hunter2");
        assert_eq!(
            error,
            "setting ADMIN_PASSWORD is wrong: it must have 12 to 128 characters"
        );
        let error = refusal("ADMIN_EMAIL", "admin");
        assert!(
            error.starts_with("setting ADMIN_EMAIL is wrong: it is not an e-mail address"),
            "{error}"
        );
        assert!(refusal("ADMIN_PASSWORD", "").starts_with("setting ADMIN_PASSWORD is missing"));
    }
}
