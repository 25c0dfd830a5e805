//! The program itself, where no cluster is reached: what it prints and how it ends.

use std::{
    io::Write,
    net::TcpListener,
    process::{Command, Output, Stdio},
};

fn shopctl(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shopctl"));
    command.args(arguments).env("KUBECONFIG", "/nowhere");
    command
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[track_caller]
fn assert_ends(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
}

#[test]
fn a_file_is_validated_with_an_exit_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("shop.yaml");
    let path = path.to_str().expect("UTF-8");
    let head = "apiVersion: shopkeeper.dev/v1alpha1\nkind: Shop\nmetadata: {name: corner}\n";
    std::fs::write(path, format!("{head}spec: {{version: '1'}}\n")).expect("written");
    let output = shopctl(&["validate", path]).output().expect("started");
    assert_ends(&output, 0);
    assert_eq!(
        text(&output.stdout),
        format!("{path}: Shop corner is valid\n")
    );

    std::fs::write(
        path,
        format!("{head}spec: {{version: 1}}\n---\nkind: Namespace\n"),
    )
    .expect("written");
    let output = shopctl(&["validate", path]).output().expect("started");
    assert_ends(&output, 1);
    let expected = "spec.version: must be a string: write \"1\" in quotes";
    assert_eq!(text(&output.stdout), format!("{path}: {expected}\n"));
    let passed_over = format!("{path}: Namespace is no Shop and was passed over\n");
    assert_eq!(text(&output.stderr), passed_over);

    let output = shopctl(&["validate", path, "--output", "json"])
        .output()
        .expect("started");
    assert_ends(&output, 1);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (&found[0]["path"], &found[0]["shop"]),
        (&"spec.version".into(), &"corner".into())
    );
}

#[test]
fn standard_input_is_validated() {
    let command = shopctl(&["validate", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = command.expect("started");
    let mut input = child.stdin.take().expect("its input");
    input.write_all(b"kind: Namespace\n").expect("written");
    drop(input);
    let output = child.wait_with_output().expect("ended");
    assert_ends(&output, 2);
    assert!(text(&output.stderr).ends_with("shopctl: there is no Shop in what was given\n"));
}

#[test]
fn wrong_use_ends_with_two() {
    for arguments in [
        &["validate"][..],
        &["frobnicate"],
        &["validate", "/nowhere"],
        &["status", "--timeout", "5m"],
        &["rollback", "--to", "2"],
        &["plan"],
        &["plan", "/nowhere"],
        &["apply"],
        &["apply", "/nowhere"],
        &["pause"],
        &["pause", "--reason", ""],
        &[
            "pause",
            "--reason=x",
            "--for=2h",
            "--until=2026-11-27T18:00:00Z",
        ],
        &["pause", "--reason=x", "--until=18:00"],
        &["rollback", "orders", "--to", "0"],
    ] {
        assert_ends(&shopctl(arguments).output().expect("started"), 2);
    }
}

#[test]
fn a_cluster_that_is_not_reached_ends_with_three() {
    assert_ends(&shopctl(&["status"]).output().expect("started"), 3);

    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free.expect("a port where nobody listens");
    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = folder.path().join("config");
    let content = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
         clusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}]\nusers: [{{name: u, user: {{}}}}]\n"
    );
    std::fs::write(&kubeconfig, content).expect("written");
    let output = shopctl(&["status"])
        .env("KUBECONFIG", &kubeconfig)
        .output()
        .expect("started");
    assert_ends(&output, 3);
    assert!(
        text(&output.stderr).contains("the cluster is not reached"),
        "{output:?}"
    );
}

/// What is wrong with the file is told before a cluster is looked for.
#[test]
fn a_plan_is_made_of_one_shop_in_its_own_namespace() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("shop.yaml");
    let path = path.to_str().expect("UTF-8");
    let shop = |name: &str| {
        format!(
            "apiVersion: shopkeeper.dev/v1alpha1\nkind: Shop\nmetadata: {{name: {name}, namespace: market}}\nspec: {{version: '1'}}\n"
        )
    };
    std::fs::write(path, format!("{}---\n{}", shop("a"), shop("b"))).expect("written");
    for (arguments, code, told) in [
        (&["plan", path][..], 2, "say which with --shop"),
        (
            &["plan", path, "--shop", "c"],
            2,
            "has no Shop of this name",
        ),
        (
            &["plan", path, "--shop", "a", "-n", "demo"],
            2,
            "is for namespace market, and demo was named",
        ),
        (
            &["plan", path, "--shop", "a"],
            3,
            "the kubeconfig names no cluster",
        ),
    ] {
        let output = shopctl(arguments).output().expect("started");
        assert_ends(&output, code);
        assert!(text(&output.stderr).contains(told), "{output:?}");
    }
}

#[test]
fn what_is_no_kept_plan_or_is_for_another_namespace_is_not_applied() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("plan.json");
    let path = path.to_str().expect("UTF-8");
    let kept = |by: &str| {
        format!(
            r#"{{"made_by": "{by}", "namespace": "market", "operator": {{"install": "a/b", "uid": "u"}}, "shop": {{}}, "plan": {{}}}}"#
        )
    };
    let this = concat!("shopctl ", env!("CARGO_PKG_VERSION"));
    for (content, arguments, code, told) in [
        ("spec: {}", &["apply", path][..], 2, "this is no plan"),
        (&kept("shopctl 0.0.1"), &["apply", path], 2, "make it anew"),
        (
            &kept(this),
            &["apply", path, "-n", "demo"],
            2,
            "the plan is for namespace market, and demo was named",
        ),
        (
            &kept(this),
            &["apply", path],
            3,
            "the kubeconfig names no cluster",
        ),
    ] {
        std::fs::write(path, content).expect("written");
        let output = shopctl(arguments).output().expect("started");
        assert_ends(&output, code);
        assert!(text(&output.stderr).contains(told), "{output:?}");
    }
}

#[test]
fn the_exit_codes_stand_in_the_help_and_shells_get_completions() {
    let output = shopctl(&["status", "--help"]).output().expect("started");
    assert_ends(&output, 0);
    assert!(text(&output.stdout).contains("Exit codes:"));
    let output = shopctl(&["completions", "bash"]).output().expect("started");
    assert_ends(&output, 0);
    assert!(text(&output.stdout).contains("dead-letters"));
}

#[test]
fn a_reader_who_has_had_enough_is_no_panic() {
    let command = shopctl(&["completions", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = command.expect("started");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ended");
    assert_eq!(text(&output.stderr), "");
    assert_ends(&output, 0);
}

#[test]
fn a_complaint_that_nobody_reads_is_no_panic() {
    let command = shopctl(&["validate", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = command.expect("started");
    drop(child.stderr.take());
    let mut input = child.stdin.take().expect("its input");
    input.write_all(b"kind: Namespace\n").expect("written");
    drop(input);
    assert_eq!(child.wait().expect("ended").code(), Some(2));
}

#[test]
fn no_file_steers_the_terminal() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("shop.yaml");
    let shop = "apiVersion: shopkeeper.dev/v1alpha1\nkind: Shop\nmetadata: {name: corner}\n\
                spec: {version: '1', \"a\\e[2J\": 1}\n---\nkind: \"b\\e[2J\\nc\"\n";
    std::fs::write(&path, shop).expect("written");
    let path = path.to_str().expect("UTF-8");
    let output = shopctl(&["validate", path]).output().expect("started");
    assert_ends(&output, 1);
    assert!(text(&output.stdout).contains("a\\u{1b}[2J"), "{output:?}");
    let passed_over = format!("{path}: b\\u{{1b}}[2J\\nc is no Shop and was passed over\n");
    assert_eq!(text(&output.stderr), passed_over);
}
