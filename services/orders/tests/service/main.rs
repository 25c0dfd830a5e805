//! Orders over HTTP and NATS, on a real PostgreSQL and a real NATS, with payments played by the test.

mod cart;
mod checkout;
mod events;
mod expectations;
mod faults;
mod growth;
mod orders;
mod payments;
mod shop;
mod stock;
mod telemetry;

/// The checkout and refunds with payments asked over HTTP.
#[path = "."]
mod over_http {
    use crate::payments::Protocol;
    use crate::shop::Shop;

    mod refunds;
    mod saga;

    async fn open() -> Shop {
        Shop::open_over(Protocol::Http).await
    }
}

/// The same over gRPC.
#[path = "."]
mod over_grpc {
    use crate::payments::Protocol;
    use crate::shop::Shop;

    #[expect(clippy::duplicate_mod, reason = "the same tests over another protocol")]
    mod refunds;
    #[expect(clippy::duplicate_mod, reason = "the same tests over another protocol")]
    mod saga;

    async fn open() -> Shop {
        Shop::open_over(Protocol::Grpc).await
    }
}
