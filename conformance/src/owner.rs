//! Which process a container is of: so what a killed run has left is told from what a living one uses.

use std::fmt;
use std::fs;

use anyhow::{Context, Result};

/// A process of this machine or another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The machine and the namespace that numbers its processes.
    place: String,
    pid: u32,
    /// In ticks since the machine was started: numbers are given again.
    started: u64,
}

impl Owner {
    pub(crate) fn this_process() -> Result<Self> {
        Self::of(std::process::id())
    }

    fn of(pid: u32) -> Result<Self> {
        Ok(Self {
            place: place()?,
            pid,
            started: started(pid).with_context(|| format!("there is no process {pid}"))?,
        })
    }

    /// As it was written; `None` where it was written by nobody here.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut parts = text.rsplitn(3, ':');
        let (started, pid) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let place = parts.next()?.to_owned();
        Some(Self {
            place,
            pid,
            started,
        })
    }

    /// Whether it has ended. Of a process that is elsewhere nobody here can say so.
    pub(crate) fn is_gone(&self) -> bool {
        place().is_ok_and(|here| here == self.place) && started(self.pid) != Some(self.started)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.place, self.pid, self.started)
    }
}

/// `<host>:pid:[<number>]`
fn place() -> Result<String> {
    let host = fs::read_to_string("/proc/sys/kernel/hostname")?;
    let namespace = fs::read_link("/proc/self/ns/pid")?;
    Ok(format!("{}:{}", host.trim(), namespace.display()))
}

/// The 22nd field of a process's `stat`, once it has not ended.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses, in which anything may stand; the third is behind it.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let has_ended = fields.next()? == "Z";
    (!has_ended).then(|| fields.nth(18)?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_is_there_until_it_ends() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let owner = Owner::of(child.id()).unwrap();
        let read = Owner::read(&owner.to_string()).unwrap();
        assert_eq!(read, owner);
        assert!(!read.is_gone());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(read.is_gone());
    }

    #[test]
    fn a_number_that_was_given_again_is_another_process() {
        let mut owner = Owner::this_process().unwrap();
        assert!(!owner.is_gone());
        owner.started += 1;
        assert!(owner.is_gone());
    }

    #[test]
    fn nobody_says_that_a_process_elsewhere_has_ended() {
        let mut owner = Owner::this_process().unwrap();
        owner.started += 1;
        owner.place = "another:pid:[1]".to_owned();
        assert!(!owner.is_gone());
        assert_eq!(Owner::read("nobody"), None);
    }
}
