//! Which commit the sources of a program are of, for the label `org.opencontainers.image.revision`.
//!
//! It is the last commit that touched these sources, not the last of all: the label is part of the image's digest, and a commit
//! that changes the operator alone must leave the images of the services as they are, or the next `make up` would roll them
//! out. For the same reason tests, documents and the workspace's Cargo.lock do not count, though a new Cargo.lock may change the
//! binary.

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};

/// Files of a crate that no program is built from.
const NOT_BUILT: [&str; 3] = [
    ":(exclude)**/tests/**",
    ":(exclude)**/proptest-regressions/**",
    ":(exclude)**/*.md",
];

/// The last commit that touched the sources in `folders`, with `-dirty` behind it where the work tree differs from it. None
/// where no whole history is at hand: outside of a git repository, and in a shallow clone, where git would name another commit.
pub(crate) fn of(folders: &BTreeSet<&Path>, root: &Path) -> Result<Option<String>> {
    let shallow = git(root, &["rev-parse", "--is-shallow-repository"]);
    match shallow {
        Ok(output) if output.status.success() && output.stdout == b"false\n" => {}
        Ok(_) | Err(_) => return Ok(None),
    }
    let commit = ask(root, &["log", "-1", "--format=%H"], folders)?;
    if commit.is_empty() {
        return Ok(None);
    }
    let changed = ask(root, &["status", "--porcelain"], folders)?;
    let dirty = if changed.is_empty() { "" } else { "-dirty" };
    Ok(Some(format!("{commit}{dirty}")))
}

/// What a git command says about the sources in these folders.
fn ask(root: &Path, command: &[&str], folders: &BTreeSet<&Path>) -> Result<String> {
    let folders = folders.iter().map(|folder| folder.as_os_str());
    let paths = folders.chain(NOT_BUILT.iter().map(|pattern| pattern.as_ref()));
    let arguments = command.iter().map(|word| word.as_ref());
    let arguments: Vec<_> = arguments.chain(["--".as_ref()]).chain(paths).collect();
    let output = git(root, &arguments).context("git does not start")?;
    ensure!(
        output.status.success(),
        "git {} failed: {}",
        command[0],
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn git(root: &Path, arguments: &[impl AsRef<std::ffi::OsStr>]) -> std::io::Result<Output> {
    let mut git = Command::new("git");
    // Set by git for its hooks, and then stronger than the folder.
    for variable in [
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_COMMON_DIR",
    ] {
        git.env_remove(variable);
    }
    git.arg("-C").arg(root).args(arguments).output()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Repository(tempfile::TempDir);

    impl Repository {
        fn new() -> Self {
            let repository = Self(tempfile::tempdir().unwrap());
            repository.git(&["init", "--quiet"]);
            repository
        }

        fn git(&self, arguments: &[&str]) -> String {
            let config = ["user.name=n", "user.email=e", "commit.gpgsign=false"];
            let config = config.iter().flat_map(|setting| ["-c", *setting]);
            let arguments: Vec<_> = config.chain(arguments.iter().copied()).collect();
            let output = git(self.0.path(), &arguments).unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        }

        fn write(&self, file: &str) {
            let path = self.0.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let before = fs::read_to_string(&path).unwrap_or_default();
            fs::write(path, before + "more\n").unwrap();
        }

        /// A commit that changes this file alone.
        fn commit(&self, file: &str) -> String {
            self.write(file);
            self.git(&["add", "--all"]);
            self.git(&["commit", "--quiet", "--message", file]);
            self.git(&["rev-parse", "HEAD"])
        }

        fn revision(&self) -> Option<String> {
            let folders = ["search", "chassis"].map(|name| self.0.path().join(name));
            of(
                &folders.iter().map(|f| f.as_path()).collect(),
                self.0.path(),
            )
            .unwrap()
        }
    }

    #[test]
    fn a_commit_that_leaves_the_sources_as_they_are_leaves_the_revision() {
        let repository = Repository::new();
        repository.commit("search/src/lib.rs");
        let last = repository.commit("chassis/src/lib.rs");
        assert_eq!(repository.revision(), Some(last.clone()));
        for file in [
            "operator/src/lib.rs",
            "Cargo.lock",
            "search/tests/api.rs",
            "search/README.md",
        ] {
            repository.commit(file);
            assert_eq!(repository.revision(), Some(last.clone()), "after {file}");
        }
        let next = repository.commit("search/Cargo.toml");
        assert_eq!(repository.revision(), Some(next));
    }

    #[test]
    fn an_edit_that_is_not_committed_is_told() {
        let repository = Repository::new();
        let commit = repository.commit("search/src/lib.rs");
        repository.write("operator/src/lib.rs");
        assert_eq!(repository.revision(), Some(commit.clone()));
        repository.write("search/src/new.rs");
        assert_eq!(repository.revision(), Some(format!("{commit}-dirty")));
    }

    #[test]
    fn without_the_whole_history_nothing_is_claimed() {
        let whole = Repository::new();
        whole.commit("operator/src/lib.rs");
        assert_eq!(whole.revision(), None, "no commit of the sources yet");
        whole.commit("search/src/lib.rs");
        whole.commit("operator/src/lib.rs");

        let shallow = Repository(tempfile::tempdir().unwrap());
        let origin = format!("file://{}", whole.0.path().display());
        shallow.git(&["clone", "--quiet", "--depth=1", &origin, "."]);
        assert_eq!(shallow.revision(), None);

        let none = Repository(tempfile::tempdir().unwrap());
        assert_eq!(none.revision(), None);
    }
}
