//! Sessions: a log-in, and the refresh tokens that keep it alive one after the other.

use chassis::db::{self, Db, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    account::Role,
    refresh_token::{Minter, Place, RefreshToken, Verdict},
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
    minter: &Minter,
    user: Uuid,
    now: OffsetDateTime,
) -> Result<RefreshToken, db::Error> {
    let mut connection = db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    let session = sessions::start(&tx, user, now).await?;
    let token = minter.token(Place::first(session));
    sessions::add_token(&tx, session, &token.digest(), now).await?;
    tx.commit().await?;
    Ok(token)
}

/// Exchanges a refresh token for the next one.
pub(crate) async fn exchange(
    db: &Db,
    minter: &Minter,
    shown: &RefreshToken,
    now: OffsetDateTime,
) -> Result<Exchange, db::Error> {
    let mut connection = db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    let place = minter.place(shown);
    // The rows stay locked until the commit: of twins at once, the second sees a used token.
    let Some(mut found) = sessions::lock_token(&tx, &shown.digest()).await? else {
        let outcome = match place {
            // One of ours whose row is gone was used long ago.
            Some(place) => reused(&tx, place.session, now).await?,
            None => Exchange::Refused,
        };
        tx.commit().await?;
        return Ok(outcome);
    };
    let next = minter.token(match place {
        Some(place) => place.next(),
        None => Place::after_random(found.session_id, &shown.digest()),
    });
    if found.token.used_at.is_some() {
        // Asked for after the lock: a statement does not see what was committed while it waited.
        found.token.successor_waits = sessions::is_unused(&tx, &next.digest()).await?;
    }
    let outcome = match found.token.verdict(now) {
        Verdict::Refuse => Exchange::Refused,
        Verdict::Revoke => reused(&tx, found.session_id, now).await?,
        Verdict::Repeat => found.rotated(next),
        Verdict::Rotate => {
            sessions::use_token(&tx, &shown.digest(), now).await?;
            sessions::add_token(&tx, found.session_id, &next.digest(), now).await?;
            found.rotated(next)
        }
    };
    tx.commit().await?;
    Ok(outcome)
}

impl sessions::Found {
    fn rotated(self, next: RefreshToken) -> Exchange {
        Exchange::Rotated {
            user_id: self.user_id,
            roles: self.roles,
            next,
        }
    }
}

/// Ends the session of a token that was shown a second time. One that has ended before stays as it is.
async fn reused(
    tx: &Transaction<'_>,
    session: Uuid,
    now: OffsetDateTime,
) -> Result<Exchange, db::Error> {
    if !sessions::revoke(tx, session, now).await? {
        return Ok(Exchange::Refused);
    }
    tracing::warn!(
        session_id = %session,
        "a refresh token was shown a second time; its session is ended"
    );
    Ok(Exchange::Reused)
}

/// Ends all sessions of the account whose refresh token this is. The token of a session that has ended ends nothing: whoever found an
/// old one shall not log its owner out.
pub(crate) async fn end_all(
    db: &Db,
    minter: &Minter,
    shown: &RefreshToken,
    now: OffsetDateTime,
) -> Result<(), db::Error> {
    let connection = db.get().await?;
    match minter.place(shown) {
        Some(place) => sessions::revoke_beside(&connection, place.session, now).await,
        None => sessions::revoke_all_by_token(&connection, &shown.digest(), now).await,
    }
}

/// Ends the session of a refresh token, used or not. An unknown token is logged out already.
pub(crate) async fn end(
    db: &Db,
    minter: &Minter,
    shown: &RefreshToken,
    now: OffsetDateTime,
) -> Result<(), db::Error> {
    let connection = db.get().await?;
    match minter.place(shown) {
        Some(place) => sessions::revoke(&connection, place.session, now)
            .await
            .map(drop),
        None => sessions::revoke_by_token(&connection, &shown.digest(), now).await,
    }
}
