use shopctl::status::{View, tree};

use crate::{plain, shop};

fn told(file: &str) -> String {
    plain(&tree(&View::of(&shop(file))))
}

#[test]
fn everything_runs() {
    insta::assert_snapshot!(told("healthy"));
}

#[test]
fn a_release_is_under_way() {
    insta::assert_snapshot!(told("migrating"));
}

#[test]
fn services_failed() {
    insta::assert_snapshot!(told("failed"));
}

#[test]
fn one_process_hosts_the_services() {
    insta::assert_snapshot!(told("monolith"));
}

#[test]
fn a_service_leaves() {
    insta::assert_snapshot!(told("leaving"));
}

#[test]
fn a_shop_that_nobody_has_seen_is_not_ready() {
    let mut shop = shop("healthy");
    shop.status = None;
    insta::assert_snapshot!(plain(&tree(&View::of(&shop))));
}

#[test]
fn what_was_said_of_an_older_generation_makes_nothing_ready() {
    let mut shop = shop("healthy");
    assert!(View::of(&shop).ready);
    shop.metadata.generation = Some(4);
    assert!(!View::of(&shop).ready);
}

#[test]
fn a_program_is_given_the_same() {
    insta::assert_json_snapshot!(View::of(&shop("monolith")));
}
