//! What is printed of which Shop. Nothing here needs a cluster.

mod approve;
mod canary;
mod change;
mod pause;
mod place;
mod plan;
mod rollback;
mod status;
mod validate;
mod why;

use shop_operator::api::Shop;

/// The Shop of this file.
fn shop(file: &str) -> Shop {
    let path = format!(
        "{}/tests/pure/shops/{file}.yaml",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).expect(&path);
    serde_yaml::from_str(&text).expect("a Shop")
}

/// As it stands where there are no colours.
fn plain(text: &str) -> String {
    let text = anstream::adapter::strip_str(text).to_string();
    let longest = text.lines().map(|line| line.chars().count()).max();
    assert!(longest <= Some(shopctl::output::WIDTH), "{text}");
    text
}
