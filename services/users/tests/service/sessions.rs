//! Logging in, staying logged in, logging out.

use std::collections::BTreeSet;

use chassis::testing::look;
use serde_json::{Value, json};

use crate::common;
use crate::common::{PASSWORD, Shop, Tokens, metric, problem};

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_look_the_same_and_cost_the_same() {
    let shop = Shop::open().await;
    shop.tokens_of("ada@shop.example").await;
    let hashes = async || metric(&shop.users, "shop_users_password_hashing_seconds_count").await;
    let before = hashes().await;
    let wrong = shop.log_in("ada@shop.example", "wrong password").await;
    let mut wrong = problem(wrong, 401, "wrong_credentials").await;
    let between = hashes().await;
    let unknown = shop.log_in("eve@shop.example", PASSWORD).await;
    let mut unknown = problem(unknown, 401, "wrong_credentials").await;
    let after = hashes().await;
    for answer in [&mut wrong, &mut unknown] {
        answer.as_object_mut().unwrap().remove("trace_id");
    }
    assert_eq!(wrong, unknown);
    // That both hashes cost the same is a test of the hasher; seconds would depend on who else is at work.
    assert_eq!(
        (between - before, after - between),
        (1.0, 1.0),
        "one hash each"
    );
}

#[tokio::test]
async fn bad_input_is_named() {
    let shop = Shop::open().await;
    for (field, value) in [
        ("email", json!("ada")),
        ("password", json!("p".repeat(129))),
    ] {
        let mut body = json!({"email": "ada@shop.example", "password": PASSWORD});
        body[field] = value;
        let answer = problem(shop.post("/sessions", &body).await, 422, "invalid").await;
        assert_eq!(answer["errors"][0]["pointer"], field);
    }
    let answer = problem(shop.refresh(&"t".repeat(201)).await, 422, "invalid").await;
    assert_eq!(answer["errors"][0]["pointer"], "refresh_token");
}

#[tokio::test]
async fn a_refresh_token_works_once_and_gives_the_next() {
    let shop = Shop::open().await;
    let first = shop.tokens_of("ada@shop.example").await;
    let second = Tokens::of(shop.refresh(&first.refresh).await).await;
    let third = Tokens::of(shop.refresh(&second.refresh).await).await;
    assert_ne!(first.refresh, second.refresh);
    assert_ne!(second.refresh, third.refresh);
    assert_eq!(shop.me(&third.access).await.status(), 200);
}

#[tokio::test]
async fn a_token_shown_twice_ends_its_session_and_no_other() {
    let shop = Shop::open().await;
    let stolen = shop.tokens_of("ada@shop.example").await;
    let other_device = Tokens::of(shop.log_in("ada@shop.example", PASSWORD).await).await;
    let thief = Tokens::of(shop.refresh(&stolen.refresh).await).await;
    shop.age_used_tokens("11 seconds").await;

    problem(
        shop.refresh(&stolen.refresh).await,
        401,
        "refresh_token_invalid",
    )
    .await;
    problem(
        shop.refresh(&thief.refresh).await,
        401,
        "refresh_token_invalid",
    )
    .await;
    Tokens::of(shop.refresh(&other_device.refresh).await).await;
    assert_eq!(
        metric(
            &shop.users,
            "shop_users_refreshes_total{outcome=\"reused\"}"
        )
        .await,
        1.0
    );
}

#[tokio::test]
async fn eight_exchanges_at_once_get_the_same_next_token_and_the_session_goes_on() {
    let shop = Shop::open().await;
    let first = shop.tokens_of("ada@shop.example").await;
    let answers = futures::future::join_all((0..8).map(|_| shop.refresh(&first.refresh))).await;
    let mut next = BTreeSet::new();
    for answer in answers {
        next.insert(Tokens::of(answer).await.refresh);
    }
    let [next] = &Vec::from_iter(next)[..] else {
        panic!("they differ");
    };
    // The same for who sends it again because the answer was lost.
    assert_eq!(
        &Tokens::of(shop.refresh(&first.refresh).await).await.refresh,
        next
    );
    Tokens::of(shop.refresh(next).await).await;
    let reused = "shop_users_refreshes_total{outcome=\"reused\"}";
    assert_eq!(metric(&shop.users, reused).await, 0.0);
}

#[tokio::test]
async fn a_token_whose_successor_was_used_is_reused_however_soon_it_is_shown() {
    let shop = Shop::open().await;
    let first = shop.tokens_of("ada@shop.example").await;
    let second = Tokens::of(shop.refresh(&first.refresh).await).await;
    let third = Tokens::of(shop.refresh(&second.refresh).await).await;
    for token in [&first.refresh, &third.refresh] {
        problem(shop.refresh(token).await, 401, "refresh_token_invalid").await;
    }
}

#[tokio::test]
async fn a_token_that_was_used_long_ago_is_no_row_and_still_ends_its_session() {
    let shop = Shop::open().await;
    let first = shop.tokens_of("ada@shop.example").await;
    let second = Tokens::of(shop.refresh(&first.refresh).await).await;
    let other_device = Tokens::of(shop.log_in("ada@shop.example", PASSWORD).await).await;
    shop.age_used_tokens("2 hours").await;
    let twin =
        chassis::testing::start::<shop_users::Users>(&shop.backends, &common::settings()).await;
    let db = shop.backends.direct_db();
    chassis::testing::eventually("the used token is gone", || async {
        let used = "select 1 from refresh_tokens where used_at is not null";
        look(&db, used, &[]).await.is_empty().then_some(())
    })
    .await;
    twin.stop().await;
    for token in [&first.refresh, &second.refresh] {
        problem(shop.refresh(token).await, 401, "refresh_token_invalid").await;
    }
    Tokens::of(shop.refresh(&other_device.refresh).await).await;
}

#[tokio::test]
async fn a_token_of_an_older_version_is_exchanged_for_one_of_this() {
    let shop = Shop::open().await;
    shop.tokens_of("ada@shop.example").await;
    let db = shop.backends.direct_db();
    // SHA-256 of "old", as that version kept a random token.
    let old = "update refresh_tokens set digest = sha256('old') returning 1";
    assert_eq!(look(&db, old, &[]).await.len(), 1);
    let (first, again) = tokio::join!(shop.refresh("old"), shop.refresh("old"));
    let next = Tokens::of(first).await;
    assert_eq!(Tokens::of(again).await.refresh, next.refresh);
    Tokens::of(shop.refresh(&next.refresh).await).await;
}

/// While both versions run, each exchanges tokens of the other.
#[tokio::test]
async fn a_session_goes_on_whichever_version_exchanges_its_tokens() {
    let shop = Shop::open().await;
    shop.tokens_of("ada@shop.example").await;
    let db = shop.backends.direct_db();
    let mut seen = BTreeSet::new();
    for old in ["old-1", "old-2", "old-3"] {
        // As that version does it: the next token is random.
        let exchange =
            "update refresh_tokens set used_at = now() where used_at is null returning 1";
        assert_eq!(look(&db, exchange, &[]).await.len(), 1);
        let next = "insert into refresh_tokens (digest, session_id, issued_at, expires_at)
            select sha256(convert_to($1::text, 'UTF8')), id, now(), now() + interval '1 day' from sessions returning 1";
        assert_eq!(look(&db, next, &[&old]).await.len(), 1);
        let (first, again) = tokio::join!(shop.refresh(old), shop.refresh(old));
        let (tokens, again) = (Tokens::of(first).await, Tokens::of(again).await);
        assert_eq!(again.refresh, tokens.refresh, "shown again at once");
        assert!(
            seen.insert(tokens.refresh),
            "each has a next one of its own"
        );
    }
}

#[tokio::test]
async fn sessions_that_have_ended_are_removed_after_a_day() {
    let shop = Shop::open().await;
    let ended = shop.tokens_of("ada@shop.example").await;
    assert_eq!(shop.log_out(&ended.refresh).await.status(), 204);
    let lives = Tokens::of(shop.log_in("ada@shop.example", PASSWORD).await).await;
    let db = shop.backends.direct_db();
    let aged = "update sessions set revoked_at = revoked_at - interval '25 hours' where revoked_at is not null returning 1";
    assert_eq!(look(&db, aged, &[]).await.len(), 1);
    let twin =
        chassis::testing::start::<shop_users::Users>(&shop.backends, &common::settings()).await;
    chassis::testing::eventually("one session is left", || async {
        (look(&db, "select 1 from sessions", &[]).await.len() == 1).then_some(())
    })
    .await;
    twin.stop().await;
    problem(
        shop.refresh(&ended.refresh).await,
        401,
        "refresh_token_invalid",
    )
    .await;
    Tokens::of(shop.refresh(&lives.refresh).await).await;
}

#[tokio::test]
async fn who_logs_out_everywhere_is_logged_out_on_each_device_and_others_are_not() {
    let shop = Shop::open().await;
    let here = shop.tokens_of("ada@shop.example").await;
    let there = Tokens::of(shop.log_in("ada@shop.example", PASSWORD).await).await;
    let other = shop.tokens_of("eve@shop.example").await;
    let gone = Tokens::of(shop.log_in("eve@shop.example", PASSWORD).await).await;
    // The token of a session that has ended ends nothing, nor does nonsense.
    assert_eq!(shop.log_out(&gone.refresh).await.status(), 204);
    for token in [&gone.refresh, "nonsense"] {
        assert_eq!(shop.log_out_everywhere(token).await.status(), 204);
    }
    let other = Tokens::of(shop.refresh(&other.refresh).await).await;

    assert_eq!(shop.log_out_everywhere(&here.refresh).await.status(), 204);
    for token in [&here, &there] {
        problem(
            shop.refresh(&token.refresh).await,
            401,
            "refresh_token_invalid",
        )
        .await;
    }
    Tokens::of(shop.refresh(&other.refresh).await).await;
    Tokens::of(shop.log_in("ada@shop.example", PASSWORD).await).await;
}

#[tokio::test]
async fn who_has_logged_out_must_log_in_again() {
    let shop = Shop::open().await;
    let first = shop.tokens_of("ada@shop.example").await;
    let second = Tokens::of(shop.refresh(&first.refresh).await).await;
    // With an old token of the session too, and again, and with nonsense: the wish is fulfilled.
    for token in [&first.refresh, &second.refresh, "nonsense"] {
        assert_eq!(shop.log_out(token).await.status(), 204);
    }
    problem(
        shop.refresh(&second.refresh).await,
        401,
        "refresh_token_invalid",
    )
    .await;
    Tokens::of(shop.log_in("ada@shop.example", PASSWORD).await).await;
}

#[tokio::test]
async fn a_token_that_waited_too_long_is_refused() {
    let shop = Shop::open().await;
    let tokens = shop.tokens_of("ada@shop.example").await;
    let db = shop.backends.direct_db();
    let aged = "update refresh_tokens set issued_at = now() - interval '30 days', expires_at = now() returning 1";
    assert_eq!(look(&db, aged, &[]).await.len(), 1);
    problem(
        shop.refresh(&tokens.refresh).await,
        401,
        "refresh_token_invalid",
    )
    .await;
    problem(
        shop.refresh("never-given-out").await,
        401,
        "refresh_token_invalid",
    )
    .await;
}

#[tokio::test]
async fn tokens_are_nowhere_in_the_database() {
    let shop = Shop::open().await;
    let first = shop.tokens_of("ada@shop.example").await;
    let second = Tokens::of(shop.refresh(&first.refresh).await).await;
    let db = shop.backends.direct_db();
    let rows = look(
        &db,
        "select u::text || coalesce(t::text, '') || coalesce(o::text, '') || coalesce(encode(t.digest, 'escape'), '')
         from users u left join sessions s on s.user_id = u.id left join refresh_tokens t on t.session_id = s.id
         left join outbox o on o.envelope like '%' || u.id || '%'",
        &[],
    )
    .await;
    assert!(rows.len() >= 3, "both accounts, and both tokens of one");
    for row in rows {
        let text: String = row.get(0);
        for secret in [&first.refresh, &second.refresh, &first.access, PASSWORD] {
            assert!(!text.contains(secret), "a secret stands in the database");
        }
    }
}

#[tokio::test]
async fn what_has_expired_is_removed_at_the_next_start() {
    let shop = Shop::open().await;
    let old = shop.tokens_of("old@shop.example").await;
    Tokens::of(shop.refresh(&old.refresh).await).await;
    let db = shop.backends.direct_db();
    let aged = "update refresh_tokens set issued_at = now() - interval '40 days', expires_at = now() - interval '10 days' returning 1";
    assert_eq!(look(&db, aged, &[]).await.len(), 2);
    let young = shop.tokens_of("young@shop.example").await;

    let twin =
        chassis::testing::start::<shop_users::Users>(&shop.backends, &common::settings()).await;
    chassis::testing::eventually("the old session is gone", || async {
        let left = look(
            &db,
            "select (select count(*) from sessions), (select count(*) from refresh_tokens)",
            &[],
        )
        .await;
        (left[0].get::<_, i64>(0) == 1 && left[0].get::<_, i64>(1) == 1).then_some(())
    })
    .await;
    Tokens::of(shop.refresh(&young.refresh).await).await;
    twin.stop().await;
}

#[tokio::test]
async fn too_many_attempts_on_one_address_must_wait() {
    let shop = Shop::open().await;
    shop.tokens_of("ada@shop.example").await;
    let mut refused_after = None;
    for n in 1..=60 {
        let answer = shop.log_in("ADA@shop.example", "a wrong password").await;
        if answer.status() == 429 {
            refused_after = Some(n - 1);
            break;
        }
        problem(answer, 401, "wrong_credentials").await;
    }
    // One of the 40 was the good one before; one more for each minute that a slow machine needs for this.
    let refused_after = refused_after.expect("someone who tries 60 passwords is stopped");
    assert!((39..45).contains(&refused_after), "{refused_after}");

    let answer = shop.log_in("ada@shop.example", PASSWORD).await;
    assert_eq!(answer.status(), 429);
    let wait: u64 = answer.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    problem(answer, 429, "rate_limited").await;
    problem(
        shop.log_in("bob@shop.example", PASSWORD).await,
        401,
        "wrong_credentials",
    )
    .await;
}

#[tokio::test]
async fn nobody_uses_up_the_attempts_of_another() {
    let backends = chassis::testing::Backends::new().await;
    let mut settings = common::settings();
    settings.push(("TRUSTED_PROXIES", "127.0.0.0/8"));
    let users = chassis::testing::start::<shop_users::Users>(&backends, &settings).await;
    let shop = Shop { backends, users };
    shop.tokens_of("ada@shop.example").await;
    let attempt = async |client: &str, password: &str| {
        let body = json!({"email": "ada@shop.example", "password": password});
        let request = shop.users.http.post(shop.users.at("/sessions")).json(&body);
        let request = request.header("x-forwarded-for", client);
        request.send().await.unwrap().status().as_u16()
    };
    let mut statuses = vec![];
    for _ in 0..60 {
        // What the thief writes in front does not make him another.
        statuses.push(attempt("198.51.100.7, 192.0.2.7", "a wrong password").await);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(attempt("198.51.100.7", PASSWORD).await, 201);
    assert_eq!(attempt("192.0.2.7", PASSWORD).await, 429);
}

#[tokio::test]
async fn anyone_can_check_a_token_with_the_published_keys() {
    let shop = Shop::open().await;
    let tokens = shop.tokens_of("ada@shop.example").await;
    let url = shop.users.at("/.well-known/jwks.json");
    let answer = shop.users.http.get(url.clone()).send().await.unwrap();
    assert_eq!(answer.headers()["cache-control"], "public, max-age=300");
    let tag = answer.headers()["etag"].clone();
    let keys: jsonwebtoken::jwk::JwkSet = answer.json().await.unwrap();

    let header = jsonwebtoken::decode_header(&tokens.access).unwrap();
    let key =
        jsonwebtoken::DecodingKey::from_jwk(keys.find(&header.kid.unwrap()).unwrap()).unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
    validation.set_audience(&["shop"]);
    validation.set_issuer(&["shop"]);
    let claims = jsonwebtoken::decode::<Value>(&tokens.access, &key, &validation)
        .unwrap()
        .claims;
    assert_eq!(claims["roles"], json!(["buyer"]));

    let cached = shop
        .users
        .http
        .get(url)
        .header("if-none-match", &tag)
        .send()
        .await
        .unwrap();
    assert_eq!(cached.status(), 304);
    let several = shop.users.http.get(shop.users.at("/.well-known/jwks.json"));
    let list = format!("\"other\", W/{}", tag.to_str().unwrap());
    let several = several.header("if-none-match", list);
    assert_eq!(several.send().await.unwrap().status(), 304);
}
