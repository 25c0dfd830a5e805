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

/// Files of a program's folder that it is not built from.
const NOT_BUILT: [&str; 5] = [
    ":(exclude)**/tests/**",
    ":(exclude)**/testsupport/**",
    ":(exclude)**/*_test.go",
    ":(exclude)**/proptest-regressions/**",
    ":(exclude)**/*.md",
];

/// Documents of services: compiled into the operator, and into none of the services.
const DOCUMENTS: &str = "services/*/service.yaml";

/// What a program is built from.
pub(crate) struct Sources<'a> {
    pub(crate) folders: BTreeSet<&'a Path>,
    /// The documents of the services too.
    pub(crate) documents: bool,
}

/// The last commit that touched the sources, with `-dirty` behind it where the work tree differs from it. None
/// where no whole history is at hand: outside of a git repository, and in a shallow clone, where git would name another commit.
pub(crate) fn of(sources: &Sources<'_>, root: &Path) -> Result<Option<String>> {
    let shallow = git(root, &["rev-parse", "--is-shallow-repository"]);
    match shallow {
        Ok(output) if output.status.success() && output.stdout == b"false\n" => {}
        Ok(_) | Err(_) => return Ok(None),
    }
    let commit = ask(root, &["log", "-1", "--format=%H"], sources)?;
    if commit.is_empty() {
        return Ok(None);
    }
    let changed = ask(root, &["status", "--porcelain"], sources)?;
    let dirty = if changed.is_empty() { "" } else { "-dirty" };
    Ok(Some(format!("{commit}{dirty}")))
}

/// What a git command says about these sources.
fn ask(root: &Path, command: &[&str], sources: &Sources<'_>) -> Result<String> {
    let documents = match sources.documents {
        true => DOCUMENTS.to_owned(),
        false => format!(":(exclude){DOCUMENTS}"),
    };
    let folders = sources.folders.iter().map(|folder| folder.as_os_str());
    let paths = folders.chain(NOT_BUILT.iter().map(|pattern| pattern.as_ref()));
    let paths = paths.chain([documents.as_ref()]);
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
            self.revision_of(&["services/search", "services/chassis"], false)
        }

        fn revision_of(&self, folders: &[&str], documents: bool) -> Option<String> {
            let folders: Vec<_> = folders.iter().map(|f| self.0.path().join(f)).collect();
            let sources = Sources {
                folders: folders.iter().map(|f| f.as_path()).collect(),
                documents,
            };
            of(&sources, self.0.path()).unwrap()
        }
    }

    #[test]
    fn a_commit_that_leaves_the_sources_as_they_are_leaves_the_revision() {
        let repository = Repository::new();
        repository.commit("services/search/src/lib.rs");
        let last = repository.commit("services/chassis/src/lib.rs");
        assert_eq!(repository.revision(), Some(last.clone()));
        for file in [
            "operator/src/lib.rs",
            "Cargo.lock",
            "services/search/tests/api.rs",
            "services/search/README.md",
            "services/search/internal/mail_test.go",
        ] {
            repository.commit(file);
            assert_eq!(repository.revision(), Some(last.clone()), "after {file}");
        }
        let next = repository.commit("services/search/Cargo.toml");
        assert_eq!(repository.revision(), Some(next));
    }

    #[test]
    fn a_document_is_a_source_of_the_operator_and_not_of_its_service() {
        let repository = Repository::new();
        let service = repository.commit("services/search/src/lib.rs");
        let operator = repository.commit("operator/src/lib.rs");
        assert_eq!(repository.revision_of(&["operator"], true), Some(operator));
        let document = repository.commit("services/search/service.yaml");
        assert_eq!(repository.revision(), Some(service));
        assert_eq!(repository.revision_of(&["operator"], true), Some(document));
    }

    #[test]
    fn an_edit_that_is_not_committed_is_told() {
        let repository = Repository::new();
        let commit = repository.commit("services/search/src/lib.rs");
        repository.write("operator/src/lib.rs");
        assert_eq!(repository.revision(), Some(commit.clone()));
        repository.write("services/search/src/new.rs");
        assert_eq!(repository.revision(), Some(format!("{commit}-dirty")));
    }

    #[test]
    fn without_the_whole_history_nothing_is_claimed() {
        let whole = Repository::new();
        whole.commit("operator/src/lib.rs");
        assert_eq!(whole.revision(), None, "no commit of the sources yet");
        whole.commit("services/search/src/lib.rs");
        whole.commit("operator/src/lib.rs");

        let shallow = Repository(tempfile::tempdir().unwrap());
        let origin = format!("file://{}", whole.0.path().display());
        shallow.git(&["clone", "--quiet", "--depth=1", &origin, "."]);
        assert_eq!(shallow.revision(), None);

        let none = Repository(tempfile::tempdir().unwrap());
        assert_eq!(none.revision(), None);
    }
}
