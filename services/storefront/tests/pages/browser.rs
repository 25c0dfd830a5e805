//! What a browser without JavaScript does: keeps cookies, follows redirects, fills the forms of a page.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;

use reqwest::header::{ACCEPT, COOKIE, HeaderMap, LOCATION, SET_COOKIE};
use reqwest::{Method, RequestBuilder, StatusCode, redirect};
use url::Url;

/// A page as it came.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// Where it was found, after redirects.
    pub(crate) at: Url,
}

pub(crate) struct Browser {
    base: Url,
    http: reqwest::Client,
    cookies: RefCell<BTreeMap<String, String>>,
}

impl Browser {
    pub(crate) fn new(base: &Url) -> Self {
        Self::at(base, [127, 0, 0, 1].into())
    }

    /// One at an address of its own.
    pub(crate) fn at(base: &Url, address: IpAddr) -> Self {
        let http = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .local_address(address)
            .build();
        Self {
            base: base.clone(),
            http: http.unwrap(),
            cookies: RefCell::default(),
        }
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.borrow().get(name).cloned()
    }

    pub(crate) fn forget(&self, name: &str) {
        self.cookies.borrow_mut().remove(name);
    }

    /// A request as it leaves the browser.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let cookies = self.cookies.borrow();
        let cookies: Vec<_> = cookies.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let url = self.base.join(path).unwrap();
        let request = self.http.request(method, url);
        let accepted = "text/html,application/xhtml+xml,*/*;q=0.8";
        request
            .header(COOKIE, cookies.join("; "))
            .header(ACCEPT, accepted)
    }

    pub(crate) async fn get(&self, path: &str) -> Page {
        self.send(self.request(Method::GET, path)).await
    }

    /// Sends a form as a page of ours would, with the token that the cookie holds.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let token = self.cookie("__Host-csrf").unwrap_or_default();
        let mut fields = fields.to_vec();
        fields.push(("csrf", &token));
        let request = self.request(Method::POST, path);
        let body = form(&fields);
        let kind = "application/x-www-form-urlencoded";
        let request = request.header("content-type", kind).body(body);
        self.send(request.header("sec-fetch-site", "same-origin"))
            .await
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Page {
        let mut page = self.once(request).await;
        while let Some(location) = page.headers.get(LOCATION) {
            let path = location.to_str().unwrap().to_owned();
            assert!(
                path.starts_with('/') && !path.starts_with("//"),
                "to another site: {path}"
            );
            page = self.once(self.request(Method::GET, &path)).await;
        }
        page
    }

    /// Without following where it leads.
    pub(crate) async fn once(&self, request: RequestBuilder) -> Page {
        let answer = request.send().await.expect("an answer");
        for set in answer.headers().get_all(SET_COOKIE) {
            self.keep(set.to_str().unwrap());
        }
        Page {
            status: answer.status(),
            headers: answer.headers().clone(),
            at: answer.url().clone(),
            text: answer.text().await.expect("a text"),
        }
    }

    fn keep(&self, set: &str) {
        let (name, rest) = set.split_once('=').unwrap();
        let (value, attributes) = rest.split_once(';').unwrap();
        let mut cookies = self.cookies.borrow_mut();
        if attributes.contains("Max-Age=0") {
            cookies.remove(name);
        } else {
            cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}

pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    let mut body = url::form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(fields).finish()
}

impl Page {
    /// The value of a hidden field.
    pub(crate) fn field(&self, name: &str) -> String {
        let start = format!("name=\"{name}\" value=\"");
        let (_, rest) = self
            .text
            .split_once(&start)
            .unwrap_or_else(|| panic!("no {name}: {}", self.text));
        rest.split('"').next().unwrap().to_owned()
    }

    pub(crate) fn has(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// # Panics
    /// Where the page lacks the text.
    pub(crate) fn says(&self, text: &str) -> &Self {
        assert!(self.has(text), "{} lacks {text:?}: {}", self.at, self.text);
        self
    }
}
