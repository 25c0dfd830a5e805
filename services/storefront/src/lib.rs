//! The pages of a shop, for browsers: made on the server from what users, search, orders and email answer. Everything works without
//! JavaScript. It keeps nothing: who is logged in, and what a guest has in the cart, stand in cookies.

mod assets;
mod cookies;
mod failure;
mod form;
mod graphql;
mod guest_cart;
mod headers;
mod marked;
mod moment;
mod money;
mod notice;
mod operations;
mod pages;
mod picture;
mod settings;
mod texts;
mod upstream;
mod visitor;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use chassis::{Env, SettingError, Stateless, StatelessChassis};

use crate::pages::State;
use crate::settings::Settings;

/// See the crate's documentation.
pub struct Storefront;

impl Stateless for Storefront {
    const NAME: &'static str = "storefront";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    type Settings = Settings;

    fn settings(env: &Env) -> Result<Settings, SettingError> {
        Settings::read(env)
    }

    fn start(settings: Settings, chassis: &mut StatelessChassis) -> anyhow::Result<Router> {
        let state = State::new(settings, chassis);
        Ok(pages::routes()
            .layer(from_fn_with_state(state.clone(), visitor::accompany))
            // They are the same for all, and ask for no cookie.
            .merge(assets::routes())
            .merge(picture::routes())
            .with_state(state))
    }

    /// What the chassis answers in the place of a page is told in words too, and no answer lacks the headers.
    fn around(routes: Router) -> Router {
        routes
            .layer(from_fn(failure::in_words))
            .layer(from_fn(headers::harden))
    }
}
