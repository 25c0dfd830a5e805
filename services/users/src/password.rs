//! Passwords: hashed with Argon2id on their own threads, never more at once than there are cores and memory for.

use std::{sync::Arc, thread, time::Duration};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash as Phc},
};
use chassis::http::Problem;
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    task, time,
};

use crate::{memory_limit, metrics::Metrics, password_text::prepare};

// The cost, from the OWASP Password Storage Cheat Sheet (Argon2id: 19 MiB of memory, 2 iterations, 1 degree of parallelism).
// It stands in every stored hash, so a change here leaves the old ones valid.
const MEMORY_KIB: u32 = 19 * 1024;
const ITERATIONS: u32 = 2;
const LANES: u32 = 1;

/// What an unknown account is checked against, so that its refusal takes as long as that of a wrong password.
/// Same cost as above; nobody knows a password for it.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$ZHVtbXlzYWx0ZHVtbXlzYQ$TWQ3xFNr2lO1nE1PwbtWq1ZsNQYKMYhK3nQAkVQ1X8g";

/// How long a request waits for its turn. A hash takes some 25 ms of a core: this is a queue of 200 per core.
const PATIENCE: Duration = Duration::from_secs(5);

/// A stored hash (PHC string). It is a secret: whoever has it can guess at leisure.
#[derive(Clone, Debug)]
pub(crate) struct PasswordHash(SecretString);

impl PasswordHash {
    /// A hash as it stands in the database.
    pub(crate) fn stored(phc: String) -> Self {
        Self(phc.into())
    }

    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// Why a password was neither hashed nor checked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HashError {
    #[error("all cores are busy with passwords")]
    Busy,
    #[error("the password could not be hashed: {0}")]
    Failed(String),
}

impl From<HashError> for Problem {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Problem::overloaded(
                "Too many people register or log in at this moment. Try again shortly.",
            ),
            HashError::Failed(_) => Problem::internal(error),
        }
    }
}

/// Hashes and checks passwords.
#[derive(Clone)]
pub(crate) struct Hasher {
    argon2: Argon2<'static>,
    turns: Arc<Semaphore>,
    /// Half of the turns, one at least: log-ins go on however many register.
    new_passwords: Arc<Semaphore>,
    metrics: Metrics,
}

impl Hasher {
    /// With the cores and the memory that this process may use: each hash needs a core and 19 MiB.
    pub(crate) fn new(metrics: Metrics) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self::with_turns(turns(cores, memory_limit::of_process()), metrics)
    }

    fn with_turns(turns: usize, metrics: Metrics) -> Self {
        Self {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, cost()),
            turns: Arc::new(Semaphore::new(turns)),
            new_passwords: Arc::new(Semaphore::new((turns / 2).max(1))),
            metrics,
        }
    }

    /// Hashes a new password with a random salt.
    pub(crate) async fn hash(&self, password: &SecretString) -> Result<PasswordHash, HashError> {
        let password = prepare(password);
        self.on_a_core(&[&self.new_passwords, &self.turns], move |argon2| {
            argon2
                .hash_password(password.expose_secret().as_bytes())
                .map(|phc| PasswordHash(phc.to_string().into()))
                .map_err(|error| HashError::Failed(error.to_string()))
        })
        .await
    }

    /// Whether `password` is the one behind `hash`. No hash (no such account): `false`, after the same work.
    pub(crate) async fn matches(
        &self,
        password: &SecretString,
        hash: Option<PasswordHash>,
    ) -> Result<bool, HashError> {
        let prepared = prepare(password);
        let differs = prepared.expose_secret() != password.expose_secret();
        if self.matches_exactly(prepared, hash.clone()).await? {
            return Ok(true);
        }
        // Version 0.1 hashed what was typed.
        Ok(differs && self.matches_exactly(password.clone(), hash).await?)
    }

    async fn matches_exactly(
        &self,
        password: SecretString,
        hash: Option<PasswordHash>,
    ) -> Result<bool, HashError> {
        self.on_a_core(&[&self.turns], move |argon2| {
            let text = hash.as_ref().map_or(NOBODY, PasswordHash::expose);
            let phc = Phc::new(text).map_err(|error| HashError::Failed(error.to_string()))?;
            let right = argon2
                .verify_password(password.expose_secret().as_bytes(), &phc)
                .is_ok();
            Ok(right && hash.is_some())
        })
        .await
    }

    async fn on_a_core<T: Send + 'static>(
        &self,
        queues: &[&Arc<Semaphore>],
        work: impl FnOnce(&Argon2<'_>) -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, HashError> {
        let turn = match time::timeout(PATIENCE, turn(queues)).await {
            Ok(Ok(turn)) => turn,
            Ok(Err(_)) | Err(_) => {
                self.metrics.hashing_refused.inc();
                return Err(HashError::Busy);
            }
        };
        let (argon2, metrics) = (self.argon2.clone(), self.metrics.clone());
        task::spawn_blocking(move || {
            // The turn ends with the work, also when the client has gone away meanwhile.
            let _turn = turn;
            let start = std::time::Instant::now();
            let result = work(&argon2);
            metrics
                .hashing_seconds
                .observe(start.elapsed().as_secs_f64());
            result
        })
        .await
        .map_err(|error| HashError::Failed(error.to_string()))?
    }
}

/// Waits in one queue after the other.
async fn turn(queues: &[&Arc<Semaphore>]) -> Result<Vec<OwnedSemaphorePermit>, AcquireError> {
    let mut turn = vec![];
    for &queue in queues {
        turn.push(queue.clone().acquire_owned().await?);
    }
    Ok(turn)
}

fn cost() -> Params {
    Params::new(MEMORY_KIB, ITERATIONS, LANES, None)
        .expect("the constants lie within argon2's limits")
}

/// As many hashes at once as there are cores, as long as they take no more than half of the memory (in bytes). One at
/// least.
fn turns(cores: usize, memory: Option<u64>) -> usize {
    let each = u64::from(MEMORY_KIB) * 1024;
    let fit = memory.map_or(u64::MAX, |memory| memory / 2 / each);
    cores.min(usize::try_from(fit).unwrap_or(usize::MAX)).max(1)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::{future::join_all, poll};

    use super::*;

    fn secret(text: &str) -> SecretString {
        text.into()
    }

    #[tokio::test]
    async fn a_hash_matches_its_password_alone() {
        let hasher = Hasher::new(Metrics::default());
        let hash = hasher.hash(&secret("correct horse battery")).await.unwrap();
        assert!(
            hash.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{}",
            hash.expose()
        );
        assert!(
            hasher
                .matches(&secret("correct horse battery"), Some(hash.clone()))
                .await
                .unwrap()
        );
        assert!(
            !hasher
                .matches(&secret("correct horse batterz"), Some(hash))
                .await
                .unwrap()
        );
    }

    #[tokio::test]
    async fn an_unknown_account_costs_the_same_and_never_matches() {
        let hasher = Hasher::new(Metrics::default());
        assert!(
            !hasher
                .matches(&secret("correct horse battery"), None)
                .await
                .unwrap()
        );
        let nobody = Phc::new(NOBODY).unwrap();
        assert_eq!(Params::try_from(&nobody).unwrap().m_cost(), cost().m_cost());
        assert_eq!(Params::try_from(&nobody).unwrap().t_cost(), cost().t_cost());
        assert_eq!(Params::try_from(&nobody).unwrap().p_cost(), cost().p_cost());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_too_long_for_a_core_is_turned_away() {
        let metrics = Metrics::default();
        let hasher = Hasher::with_turns(1, metrics.clone());
        let held = hasher.turns.clone().acquire_owned().await.unwrap();
        let refused = hasher.hash(&secret("correct horse battery")).await;
        assert!(matches!(refused, Err(HashError::Busy)));
        assert_eq!(metrics.hashing_refused.get(), 1);
        drop(held);
        assert!(hasher.hash(&secret("correct horse battery")).await.is_ok());
    }

    #[tokio::test]
    async fn whoever_logs_in_need_not_wait_for_all_who_register() {
        let hasher = Hasher::with_turns(4, Metrics::default());
        let password = secret("correct horse battery");
        let registrations = (0..8).map(|_| hasher.hash(&password));
        let mut registrations = pin!(join_all(registrations));
        assert!(poll!(&mut registrations).is_pending());
        assert!(hasher.turns.available_permits() >= 2);
        let log_in = hasher.matches(&secret("correct horse battery"), None).await;
        assert!(matches!(log_in, Ok(false)));
        assert!(registrations.await.iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn a_broken_hash_is_an_error_and_no_match() {
        let hasher = Hasher::new(Metrics::default());
        let broken = PasswordHash::stored("$argon2id$broken".to_owned());
        assert!(matches!(
            hasher.matches(&secret("x"), Some(broken)).await,
            Err(HashError::Failed(_))
        ));
    }

    #[test]
    fn hashes_at_once_fit_into_half_of_the_memory() {
        const MIB: u64 = 1 << 20;
        assert_eq!(turns(8, None), 8);
        assert_eq!(
            turns(64, Some(128 * MIB)),
            3,
            "64 times 19 MiB would kill the process"
        );
        assert_eq!(turns(2, Some(128 * MIB)), 2);
        assert_eq!(
            turns(8, Some(16 * MIB)),
            1,
            "it must go on, whatever the limit"
        );
        assert_eq!(turns(8, Some(u64::MAX)), 8);
    }

    #[tokio::test]
    async fn a_password_is_the_same_on_every_keyboard() {
        let hasher = Hasher::new(Metrics::default());
        let (composed, decomposed) = (secret("caf\u{e9} au lait"), secret("cafe\u{301} au lait"));
        let hash = hasher.hash(&decomposed).await.unwrap();
        for typed in [&composed, &decomposed] {
            assert!(hasher.matches(typed, Some(hash.clone())).await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_hash_of_what_was_typed_before_still_matches() {
        let hasher = Hasher::new(Metrics::default());
        let decomposed = secret("cafe\u{301} au lait");
        let text = hasher
            .argon2
            .hash_password(decomposed.expose_secret().as_bytes());
        let old = PasswordHash::stored(text.unwrap().to_string());
        assert!(hasher.matches(&decomposed, Some(old)).await.unwrap());
    }
}
