//! Pages of other origins: which may call, and what of an answer they may read.

use std::str::FromStr;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};
use url::Url;

use super::extract::IdempotencyKey;

/// How long a browser may keep what a preflight was answered.
const KEPT: Duration = Duration::from_secs(600);

/// The origins whose pages may call. Tokens are sent by the page and never by the browser itself, so credentials are not
/// allowed for.
#[derive(Debug, Clone)]
pub(crate) struct Origins(Vec<HeaderValue>);

/// Why a text names no origins.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no origin such as https://shop.example")]
pub(crate) struct InvalidOrigin(String);

impl FromStr for Origins {
    type Err = InvalidOrigin;

    /// Origins with commas between them, each as browsers write it: scheme, host, and the port where it is not the usual.
    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let origin = |part: &str| {
            let url = part.parse::<Url>().ok()?;
            let is_origin = url.origin().ascii_serialization() == part;
            HeaderValue::from_str(part).ok().filter(|_| is_origin)
        };
        let parts = text.split(',').map(str::trim);
        parts
            .map(|part| origin(part).ok_or_else(|| InvalidOrigin(part.to_owned())))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl Origins {
    pub(super) fn layer(self) -> CorsLayer {
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(self.0))
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
            .allow_headers([
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                header::IF_MATCH,
                header::IF_NONE_MATCH,
                HeaderName::from_static(IdempotencyKey::HEADER),
                HeaderName::from_static("traceparent"),
            ])
            .expose_headers([header::ETAG, header::LOCATION, header::RETRY_AFTER])
            .max_age(KEPT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_written_as_browsers_write_them() {
        assert!(
            "https://shop.example, http://localhost:5173"
                .parse::<Origins>()
                .is_ok()
        );
        for wrong in [
            "*",
            "shop.example",
            "https://shop.example/",
            "https://shop.example:443",
            "null",
            "",
        ] {
            assert!(wrong.parse::<Origins>().is_err(), "{wrong}");
        }
    }
}
