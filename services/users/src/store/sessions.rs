//! The tables `sessions` and `refresh_tokens`.

use chassis::db::{self, Client, Db, Transaction, execute, query_opt};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::{
    account::Role,
    refresh_token::{Digest, Known, LIFETIME},
};

/// A refresh token that was found, with the session and the account that it belongs to.
pub(crate) struct Found {
    pub(crate) session_id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) roles: Vec<Role>,
    pub(crate) token: Known,
}

pub(crate) async fn start(
    tx: &Transaction<'_>,
    user: Uuid,
    now: OffsetDateTime,
) -> Result<Uuid, db::Error> {
    const SQL: &str = "insert into sessions (id, user_id, created_at) values ($1, $2, $3)";
    let id = Uuid::now_v7();
    execute(tx, SQL, &[&id, &user, &now]).await?;
    Ok(id)
}

/// Adds the token that works from now on. The one before it must be marked as used first.
pub(crate) async fn add_token(
    tx: &Transaction<'_>,
    session: Uuid,
    digest: &Digest,
    now: OffsetDateTime,
) -> Result<(), db::Error> {
    const SQL: &str = "insert into refresh_tokens (digest, session_id, issued_at, expires_at) values ($1, $2, $3, $4)";
    execute(tx, SQL, &[&&digest[..], &session, &now, &(now + LIFETIME)]).await?;
    Ok(())
}

/// Finds a token and locks it and its session. Both, because a row that is only read would be seen as it was before the
/// wait for the lock.
pub(crate) async fn lock_token(
    tx: &Transaction<'_>,
    digest: &Digest,
) -> Result<Option<Found>, db::Error> {
    const SQL: &str = "
        select t.session_id, s.user_id, u.roles, t.expires_at, t.used_at, s.revoked_at
        from refresh_tokens t join sessions s on s.id = t.session_id join users u on u.id = s.user_id
        where t.digest = $1
        for update of t, s";
    let row = query_opt(tx, SQL, &[&&digest[..]]).await?;
    Ok(row.map(|row| Found {
        session_id: row.get("session_id"),
        user_id: row.get("user_id"),
        roles: Role::known(&row.get::<_, Vec<String>>("roles")),
        token: Known {
            expires_at: row.get("expires_at"),
            used_at: row.get("used_at"),
            revoked_at: row.get("revoked_at"),
            successor_waits: false,
        },
    }))
}

/// Whether a token is there that was not exchanged yet.
pub(crate) async fn is_unused(tx: &Transaction<'_>, digest: &Digest) -> Result<bool, db::Error> {
    const SQL: &str = "select from refresh_tokens where digest = $1 and used_at is null";
    Ok(query_opt(tx, SQL, &[&&digest[..]]).await?.is_some())
}

pub(crate) async fn use_token(
    tx: &Transaction<'_>,
    digest: &Digest,
    now: OffsetDateTime,
) -> Result<(), db::Error> {
    const SQL: &str = "update refresh_tokens set used_at = $2 where digest = $1";
    execute(tx, SQL, &[&&digest[..], &now]).await?;
    Ok(())
}

/// Ends a session; false if it has ended before.
pub(crate) async fn revoke(
    client: &impl Client,
    session: Uuid,
    now: OffsetDateTime,
) -> Result<bool, db::Error> {
    const SQL: &str = "update sessions set revoked_at = $2 where id = $1 and revoked_at is null";
    Ok(execute(client, SQL, &[&session, &now]).await? == 1)
}

pub(crate) async fn revoke_by_token(
    client: &impl Client,
    digest: &Digest,
    now: OffsetDateTime,
) -> Result<(), db::Error> {
    const SQL: &str = "
        update sessions set revoked_at = $2
        where id = (select session_id from refresh_tokens where digest = $1) and revoked_at is null";
    execute(client, SQL, &[&&digest[..], &now]).await?;
    Ok(())
}

/// Ends a session that is alive, and all others of its account.
pub(crate) async fn revoke_beside(
    client: &impl Client,
    session: Uuid,
    now: OffsetDateTime,
) -> Result<(), db::Error> {
    const SQL: &str = "
        update sessions set revoked_at = $2
        where user_id = (select user_id from sessions where id = $1 and revoked_at is null) and revoked_at is null";
    execute(client, SQL, &[&session, &now]).await?;
    Ok(())
}

pub(crate) async fn revoke_all_by_token(
    client: &impl Client,
    digest: &Digest,
    now: OffsetDateTime,
) -> Result<(), db::Error> {
    const SQL: &str = "
        update sessions set revoked_at = $2
        where user_id = (
            select s.user_id from refresh_tokens t join sessions s on s.id = t.session_id
            where t.digest = $1 and s.revoked_at is null) and revoked_at is null";
    execute(client, SQL, &[&&digest[..], &now]).await?;
    Ok(())
}

/// Ends all sessions of these accounts.
pub(crate) async fn revoke_all(
    tx: &Transaction<'_>,
    users: &[Uuid],
    now: OffsetDateTime,
) -> Result<(), db::Error> {
    const SQL: &str =
        "update sessions set revoked_at = $2 where user_id = any($1) and revoked_at is null";
    execute(tx, SQL, &[&users, &now]).await?;
    Ok(())
}

/// How long the row of a used token is kept: for [`GRACE`], and for replicas of version 0.1 beside this one. After that
/// the token is known by itself.
///
/// [`GRACE`]: crate::refresh_token::GRACE
const KEEP_USED: Duration = Duration::hours(1);
/// How long a session that has ended is kept, for a look at what happened.
const KEEP_ENDED: Duration = Duration::days(1);

/// Removes what is over: expired tokens with sessions that have no other, used tokens, and sessions that have ended. What
/// stays is one token a session, and those of the last hour. Returns how many rows went.
pub(crate) async fn remove_old(db: &Db, now: OffsetDateTime) -> Result<u64, db::Error> {
    const EXPIRED: &str = "
        with expired as (
            delete from refresh_tokens where digest in (
                select digest from refresh_tokens where expires_at < $1 order by expires_at limit 1000
                for update skip locked)
            returning digest, session_id
        ), ended as (
            delete from sessions s
            where s.id in (select session_id from expired)
              and not exists (
                select from refresh_tokens t
                where t.session_id = s.id and t.digest not in (select digest from expired))
        )
        select from expired";
    const USED: &str = "
        delete from refresh_tokens where digest in (
            select digest from refresh_tokens where used_at < $1 order by used_at limit 1000
            for update skip locked)";
    const ENDED: &str = "
        delete from sessions where id in (
            select id from sessions where revoked_at < $1 order by revoked_at limit 1000
            for update skip locked)";
    Ok(remove(db, EXPIRED, now).await?
        + remove(db, USED, now - KEEP_USED).await?
        + remove(db, ENDED, now - KEEP_ENDED).await?)
}

/// Repeats a statement that removes up to 1000 rows, so that none holds many locks for long.
async fn remove(db: &Db, sql: &str, before: OffsetDateTime) -> Result<u64, db::Error> {
    let mut removed = 0;
    loop {
        let portion = execute(&db.get().await?, sql, &[&before]).await?;
        removed += portion;
        if portion < 1000 {
            return Ok(removed);
        }
    }
}
