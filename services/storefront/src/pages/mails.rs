//! A mail as it was sent.

use askama::Template;
use axum::extract::State as Of;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use chassis::http::Path;
use uuid::Uuid;

use super::{State, log_in_first, page};
use crate::failure::Failure;
use crate::moment::Moment;
use crate::texts::Texts;
use crate::upstream::Service;
use crate::upstream::email::{Mail, MailWithContent};
use crate::visitor::{Member, Visitor};

#[derive(Template)]
#[template(path = "mail.html")]
struct MailPage<'a> {
    v: &'a Visitor,
    t: &'static Texts,
    title: &'a str,
    mail: &'a Mail,
}

impl Mail {
    pub(super) fn written(&self) -> Moment {
        Moment::new(self.created_at)
    }
}

pub(super) async fn show(
    Of(state): Of<State>,
    visitor: Visitor,
    Path(id): Path<Uuid>,
) -> Result<Response, Failure> {
    let Some(member) = visitor.known()? else {
        return Ok(log_in_first(&visitor.at));
    };
    let MailWithContent { mail, html: _ } = read(&state, member, id).await?;
    Ok(page(&MailPage {
        v: &visitor,
        t: visitor.texts,
        title: &mail.subject,
        mail: &mail,
    }))
}

/// What is in it, for a frame of the page. Whatever a mail may hold, it runs nothing and asks for nothing.
pub(super) async fn content(
    Of(state): Of<State>,
    visitor: Visitor,
    Path(id): Path<Uuid>,
) -> Result<Response, Failure> {
    const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                          frame-ancestors 'self'; sandbox";
    let member = visitor.known()?.ok_or(Failure::NotFound)?;
    let mail = read(&state, member, id).await?;
    let policy: (HeaderName, _) = (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    Ok(([policy], Html(mail.html)).into_response())
}

async fn read(state: &State, member: &Member, id: Uuid) -> Result<MailWithContent, Failure> {
    let mail = state.email.mail(&member.token, id).await;
    mail.map_err(|error| Failure::of(Service::Email, &error))
}
