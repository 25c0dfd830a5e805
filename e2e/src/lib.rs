//! A shop as its users see it, and the cluster it runs in as its owners see it. The demo, the figures and the end-to-end
//! tests stand on these.

pub mod catalogue;
pub mod cluster;
pub mod forward;
pub mod nodes;
pub mod pods;
pub mod second_shop;
pub mod seed;
pub mod services;
pub mod shop;
pub mod shopctl;
pub mod traffic;
pub mod usage;
pub mod wait;

/// One TLS provider for the process.
pub fn install_crypto() {
    // An error means that it is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
