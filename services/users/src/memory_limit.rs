//! How much memory this process may use: the limit of its cgroup, or of one around it.

use std::{fs, path::Path};

/// The limit in bytes; `None` where there is none that can be read.
pub(crate) fn of_process() -> Option<u64> {
    let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
    of(&membership, Path::new("/sys/fs/cgroup"))
}

/// The smallest limit on the way from the root of the tree to the group that `membership` names (`/proc/self/cgroup`).
///
/// In a container the tree often begins at its own group while the name is that of the host: folders that are not there
/// are passed over.
fn of(membership: &str, tree: &Path) -> Option<u64> {
    let (tree, file, group) = membership.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, group) = (parts.next()?, parts.next()?);
        match controllers {
            // Version 2 has one tree for everything.
            "" => Some((tree.to_owned(), "memory.max", group)),
            _ if controllers.split(',').any(|name| name == "memory") => {
                Some((tree.join("memory"), "memory.limit_in_bytes", group))
            }
            _ => None,
        }
    })?;
    let group = tree.join(group.trim_start_matches('/'));
    let groups = group.ancestors().take_while(|path| path.starts_with(&tree));
    groups
        .filter_map(|group| fs::read_to_string(group.join(file)).ok())
        // Version 2 writes "max" where there is no limit, version 1 a number that no machine has.
        .filter_map(|text| text.trim().parse().ok())
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree with these files, removed at the end.
    struct Tree(std::path::PathBuf);

    impl Tree {
        fn with(files: &[(&str, &str)]) -> Self {
            let root = std::env::temp_dir().join(format!("cgroup-{}", uuid::Uuid::now_v7()));
            for (path, content) in files {
                let path = root.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
            Self(root)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn version_2_in_a_container_and_on_a_machine() {
        let container = Tree::with(&[("memory.max", "134217728\n")]);
        assert_eq!(of("0::/\n", &container.0), Some(134_217_728));
        assert_eq!(
            of("0::/kubepods/pod7/c1\n", &container.0),
            Some(134_217_728)
        );
        let machine = Tree::with(&[
            ("kubepods/pod7/memory.max", "1000"),
            ("kubepods/pod7/c1/memory.max", "max"),
        ]);
        assert_eq!(
            of("0::/kubepods/pod7/c1", &machine.0),
            Some(1000),
            "that of the pod"
        );
    }

    #[test]
    fn version_1_in_a_container_and_without_a_limit() {
        let container = Tree::with(&[("memory/memory.limit_in_bytes", "67108864\n")]);
        let membership = "12:cpu,cpuacct:/kubepods/pod7\n4:memory:/kubepods/pod7\n0::/system\n";
        assert_eq!(of(membership, &container.0), Some(67_108_864));
        let machine = Tree::with(&[("memory/memory.limit_in_bytes", "9223372036854771712\n")]);
        assert_eq!(
            of("4:memory:/", &machine.0),
            Some(9_223_372_036_854_771_712)
        );
    }

    #[test]
    fn what_cannot_be_read_is_no_limit() {
        let nothing = Tree::with(&[("memory.max", "max")]);
        assert_eq!(of("0::/", &nothing.0), None);
        assert_eq!(of("", &nothing.0), None);
        assert_eq!(of("nonsense", &nothing.0), None);
        assert_eq!(of("3:cpu:/x", &nothing.0), None);
    }
}
