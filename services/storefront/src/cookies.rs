//! The cookies of a visitor: what there is of a session, for a service that keeps nothing.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use cookie::{Cookie, SameSite};
use time::Duration;

/// A cookie of ours. The prefix makes browsers take it over a safe connection alone, and from this host alone (RFC 6265bis, 4.1.3.2);
/// to them 127.0.0.1 is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// The access token, as long as it lives.
    Access,
    /// The refresh token.
    Refresh,
    /// What a guest has in the cart.
    Cart,
    /// What each form must show, see `form`.
    Csrf,
    /// The language that was chosen.
    Language,
    /// What the next page is to say.
    Notice,
}

impl Name {
    const fn text(self) -> &'static str {
        match self {
            Self::Access => "__Host-access",
            Self::Refresh => "__Host-refresh",
            Self::Cart => "__Host-cart",
            Self::Csrf => "__Host-csrf",
            Self::Language => "__Host-language",
            Self::Notice => "__Host-notice",
        }
    }

    /// How long a browser keeps it.
    const fn life(self) -> Option<Duration> {
        match self {
            // Said by users, see `Change::access`.
            Self::Access => None,
            // The browser keeps it until it is closed.
            Self::Csrf | Self::Notice => None,
            Self::Refresh | Self::Cart => Some(Duration::days(30)),
            Self::Language => Some(Duration::days(365)),
        }
    }
}

/// The value of a cookie that came with a request.
pub(crate) fn read(headers: &HeaderMap, name: Name) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter();
    let mut cookies = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(Cookie::split_parse)
        .flatten();
    let found = cookies.find(|cookie| cookie.name() == name.text())?;
    Some(found.value().to_owned()).filter(|value| !value.is_empty())
}

/// What a browser is to keep from here on.
#[derive(Debug, Clone)]
pub(crate) struct Change(Cookie<'static>);

impl Change {
    pub(crate) fn set(name: Name, value: impl Into<String>) -> Self {
        let mut cookie = basic(name, value.into());
        cookie.set_max_age(name.life());
        Self(cookie)
    }

    /// The access token, for as long as it is good.
    pub(crate) fn access(token: impl Into<String>, life: Duration) -> Self {
        let mut cookie = basic(Name::Access, token.into());
        cookie.set_max_age(life);
        Self(cookie)
    }

    /// Whether it gives an access token that a browser keeps for a while.
    pub(crate) fn begins_a_session(&self) -> bool {
        let lives = self.0.max_age().is_some_and(Duration::is_positive);
        self.0.name() == Name::Access.text() && lives
    }

    pub(crate) fn remove(name: Name) -> Self {
        let mut cookie = basic(name, String::new());
        cookie.set_max_age(Duration::ZERO);
        Self(cookie)
    }

    /// Unless what made the response has set this cookie: that knows better.
    pub(crate) fn apply_under(&self, response: &mut Response) {
        if !is_set(response, self.0.name()) {
            self.apply(response);
        }
    }

    pub(crate) fn apply(&self, response: &mut Response) {
        // A cookie that is no header value cannot be: all that is set is made of ASCII.
        if let Ok(value) = HeaderValue::from_str(&self.0.to_string()) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }
}

fn is_set(response: &Response, name: &str) -> bool {
    let values = response.headers().get_all(header::SET_COOKIE).iter();
    let prefix = format!("{name}=");
    values
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.starts_with(&prefix))
}

fn basic(name: Name, value: String) -> Cookie<'static> {
    Cookie::build((name.text(), value))
        .path("/")
        .secure(true)
        .http_only(true)
        .same_site(SameSite::Lax)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_out_of_reach_for_scripts_and_for_other_sites() {
        let mut response = Response::default();
        Change::set(Name::Refresh, "token").apply(&mut response);
        let set = response.headers()[header::SET_COOKIE].to_str().unwrap();
        assert!(set.starts_with("__Host-refresh=token; "), "{set}");
        for part in [
            "HttpOnly",
            "Secure",
            "SameSite=Lax",
            "Path=/",
            "Max-Age=2592000",
        ] {
            assert!(set.contains(part), "{part}: {set}");
        }
        Change::remove(Name::Refresh).apply_under(&mut response);
        Change::remove(Name::Cart).apply_under(&mut response);
        let all = response.headers().get_all(header::SET_COOKIE).iter();
        let names: Vec<_> = all
            .map(|set| set.to_str().unwrap().split('=').next())
            .collect();
        assert_eq!(names, [Some("__Host-refresh"), Some("__Host-cart")]);
    }

    #[test]
    fn a_cookie_is_found_among_others_and_an_empty_one_is_none() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "a=b; __Host-cart=mug.2".parse().unwrap());
        headers.append(header::COOKIE, "__Host-csrf=".parse().unwrap());
        assert_eq!(read(&headers, Name::Cart).as_deref(), Some("mug.2"));
        assert_eq!(read(&headers, Name::Csrf), None);
        assert_eq!(read(&headers, Name::Notice), None);
    }
}
