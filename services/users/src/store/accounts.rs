//! The table `users`.

use chassis::db::{self, Client, Row, Transaction, query, query_one, query_opt};
use uuid::Uuid;

use crate::{
    account::{NewAccount, Role, User},
    email_address::EmailAddress,
    password::PasswordHash,
};

/// What someone who logs in is checked against.
pub(crate) struct Credentials {
    pub(crate) user_id: Uuid,
    pub(crate) password_hash: PasswordHash,
    pub(crate) roles: Vec<Role>,
}

/// Adds an account; `None` if the address, in whatever spelling, has one. Waits for a twin that is doing the same.
pub(crate) async fn insert(
    tx: &Transaction<'_>,
    account: &NewAccount,
    hash: &PasswordHash,
) -> Result<Option<User>, db::Error> {
    const SQL: &str = "
        insert into users (id, email, name, password_hash, roles) values ($1, $2, $3, $4, $5)
        on conflict (lower(email)) do nothing
        returning id, email, name, roles, created_at";
    let row = query_opt(
        tx,
        SQL,
        &[
            &Uuid::now_v7(),
            &account.email.as_str(),
            &account.name.as_str(),
            &hash.expose(),
            &names(&account.roles),
        ],
    )
    .await?;
    Ok(row.as_ref().map(user))
}

pub(crate) async fn find(client: &impl Client, id: Uuid) -> Result<Option<User>, db::Error> {
    const SQL: &str = "select id, email, name, roles, created_at from users where id = $1";
    Ok(query_opt(client, SQL, &[&id]).await?.as_ref().map(user))
}

pub(crate) async fn credentials(
    client: &impl Client,
    email: &EmailAddress,
) -> Result<Option<Credentials>, db::Error> {
    const SQL: &str = "select id, password_hash, roles from users where lower(email) = $1";
    let row = query_opt(client, SQL, &[&email.key()]).await?;
    Ok(row.map(|row| Credentials {
        user_id: row.get("id"),
        password_hash: PasswordHash::stored(row.get("password_hash")),
        roles: roles(&row),
    }))
}

/// Gives an existing account a new password and these roles.
pub(crate) async fn reset(
    tx: &Transaction<'_>,
    email: &EmailAddress,
    hash: &PasswordHash,
    roles: &[Role],
) -> Result<Uuid, db::Error> {
    const SQL: &str =
        "update users set password_hash = $2, roles = $3 where lower(email) = $1 returning id";
    let row = query_one(tx, SQL, &[&email.key(), &hash.expose(), &names(roles)]).await?;
    Ok(row.get("id"))
}

/// Takes `role` from every account but that of `email`, and returns whose it was.
pub(crate) async fn take_from_others(
    tx: &Transaction<'_>,
    email: &EmailAddress,
    role: Role,
) -> Result<Vec<Uuid>, db::Error> {
    const SQL: &str = "
        update users set roles = array_remove(roles, $2)
        where $2 = any(roles) and lower(email) <> $1 returning id";
    let rows = query(tx, SQL, &[&email.key(), &role.into_str()]).await?;
    Ok(rows.iter().map(|row| row.get("id")).collect())
}

fn user(row: &Row) -> User {
    User {
        id: row.get("id"),
        email: row.get("email"),
        name: row.get("name"),
        roles: roles(row),
        created_at: row.get("created_at"),
    }
}

fn roles(row: &Row) -> Vec<Role> {
    Role::known(&row.get::<_, Vec<String>>("roles"))
}

fn names(roles: &[Role]) -> Vec<&'static str> {
    roles.iter().map(|role| role.into_str()).collect()
}
