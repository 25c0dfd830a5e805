//! The whole shop in one process: its services as they are, each with its settings, ports, database and workers.

use chassis::Hosted;

fn main() -> std::process::ExitCode {
    chassis::run_together(
        "monolith",
        &[
            Hosted::new::<shop_users::Users>(),
            Hosted::new::<shop_search::Search>(),
            Hosted::new::<shop_payments::Payments>(),
            Hosted::new::<shop_orders::Orders>(),
            Hosted::new::<shop_email::Email>(),
            Hosted::stateless::<shop_storefront::Storefront>(),
        ],
    )
}
