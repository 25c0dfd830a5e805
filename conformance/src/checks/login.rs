//! Who is not known is answered just that.

use anyhow::{Result, anyhow, ensure};
use uuid::Uuid;

use crate::check::{Check, Need};
use crate::document::Caller;
use crate::peers::{Token, admin_token};
use crate::scene::Scene;
use crate::service::answer;
use crate::trial::Words;

pub(super) const HTTP: Check = Check {
    line: "http.login",
    expects: "the same request without a token, and with each kind of wrong one, is a problem document 401 with WWW-Authenticate",
    needs: &[Need::Request, Need::Login],
    run: |scene| Box::pin(http(scene)),
};

/// Those who are not known where `caller` is, by what is wrong with them, and what they show.
pub(super) fn strangers(caller: &Caller) -> Result<Vec<(&'static str, Option<String>)>> {
    let unknown = Uuid::new_v4().simple().to_string();
    let mut strangers = vec![("no token", None), ("an unknown token", Some(unknown))];
    match caller {
        Caller::Nobody => strangers.clear(),
        Caller::Key(_) => {}
        Caller::Admin => {
            for (who, token) in [
                ("a token of another key", Token::OfAnotherKey),
                ("an expired token", Token::Expired),
                ("a token of another issuer", Token::OfAnotherIssuer),
                ("a token for another audience", Token::ForAnotherAudience),
            ] {
                strangers.push((who, Some(admin_token(token)?)));
            }
        }
    }
    Ok(strangers)
}

async fn http(scene: &mut Scene) -> Result<String> {
    let mut asked = scene.run.request()?.clone();
    let strangers = strangers(&std::mem::take(&mut asked.r#as))?;
    for (who, token) in &strangers {
        let request = scene.service.request(&scene.run, &asked, &Words::fresh())?;
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = answer(request).await?;
        answer
            .problem(401)
            .map_err(|wrong| anyhow!("{who}: {wrong}"))?;
        ensure!(
            answer.header("www-authenticate").is_some(),
            "{who}: 401 without WWW-Authenticate"
        );
    }
    let names: Vec<_> = strangers.into_iter().map(|(who, _)| who).collect();
    Ok(format!("401 for {}", names.join(", ")))
}
