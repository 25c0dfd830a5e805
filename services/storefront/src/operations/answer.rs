//! An answer of the API server or of a pod, of which no more is kept than is allowed.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, RequestBuilder, StatusCode};

/// In bytes. The answers of 32 services with many pods take a tenth of it.
const LIMIT: usize = 4 * 1024 * 1024;
/// For what is only looked at: somebody waits for the page.
pub(super) const LOOK: Duration = Duration::from_secs(2);
/// For what is done: it may wait for a database. A page has 30 seconds in all.
pub(super) const DEED: Duration = Duration::from_secs(15);

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

pub(super) fn client() -> ClientBuilder {
    Client::builder()
        .connect_timeout(Duration::from_secs(1))
        .redirect(reqwest::redirect::Policy::none())
        // Pods and the API server are asked for themselves.
        .no_proxy()
}

/// Why there is no answer; for the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("{0}")]
    Broken(#[from] reqwest::Error),
    #[error("the answer is longer than {LIMIT} bytes")]
    TooLong,
}

pub(super) async fn to(request: RequestBuilder, patience: Duration) -> Result<Answer, NoAnswer> {
    let mut response = request.timeout(patience).send().await?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await? {
        if body.len() + part.len() > LIMIT {
            return Err(NoAnswer::TooLong);
        }
        body.extend_from_slice(&part);
    }
    Ok(Answer { status, body })
}
