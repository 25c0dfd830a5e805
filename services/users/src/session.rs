//! Sessions: a log-in, and the refresh tokens that keep it alive one after the other.

use chassis::db::{self, Db};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    account::Role,
    refresh_token::{RefreshToken, Verdict, judge},
    store::sessions,
};

/// How an exchange of a refresh token ended.
pub(crate) enum Exchange {
    /// `next` replaces the token that was shown.
    Rotated {
        user_id: Uuid,
        roles: Vec<Role>,
        next: RefreshToken,
    },
    /// Unknown, expired or logged out.
    Refused,
    /// It was used before: the session has been ended.
    Reused,
}

/// Starts a session for an account that has proved itself, and returns its first refresh token.
pub(crate) async fn start(
    db: &Db,
    user: Uuid,
    now: OffsetDateTime,
) -> Result<RefreshToken, db::Error> {
    let token = RefreshToken::random();
    let mut connection = db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    let session = sessions::start(&tx, user, now).await?;
    sessions::add_token(&tx, session, &token.digest(), now).await?;
    tx.commit().await?;
    Ok(token)
}

/// Exchanges a refresh token for the next one.
pub(crate) async fn exchange(
    db: &Db,
    shown: &RefreshToken,
    now: OffsetDateTime,
) -> Result<Exchange, db::Error> {
    let mut connection = db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    // The rows stay locked until the commit: of twins at once, the second sees a used token.
    let Some(found) = sessions::lock_token(&tx, &shown.digest()).await? else {
        return Ok(Exchange::Refused);
    };
    let outcome = match judge(found.token, now) {
        Verdict::Refuse => Exchange::Refused,
        Verdict::Revoke => {
            sessions::revoke(&tx, found.session_id, now).await?;
            tracing::warn!(
                user_id = %found.user_id, session_id = %found.session_id,
                "a refresh token was shown a second time; its session is ended"
            );
            Exchange::Reused
        }
        Verdict::Rotate => {
            let next = RefreshToken::random();
            sessions::use_token(&tx, &shown.digest(), now).await?;
            sessions::add_token(&tx, found.session_id, &next.digest(), now).await?;
            Exchange::Rotated {
                user_id: found.user_id,
                roles: found.roles,
                next,
            }
        }
    };
    tx.commit().await?;
    Ok(outcome)
}

/// Ends the session of a refresh token, used or not. An unknown token is logged out already.
pub(crate) async fn end(
    db: &Db,
    shown: &RefreshToken,
    now: OffsetDateTime,
) -> Result<(), db::Error> {
    sessions::revoke_by_token(&db.get().await?, &shown.digest(), now).await
}
