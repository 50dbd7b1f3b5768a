//! Who looks. The service's rights count, not those of the person who types `check`: root, who may do
//! everything, looks with the eyes of the service's user where there is one.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::Access;

use crate::cli::init::{SERVICE_USER, User, user_named};
use crate::config::problem::visible;

/// Holds a file's rights beyond owner, group and others.
const ACL: &str = "system.posix_acl_access";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Eyes {
    /// Of whoever runs this, by name.
    Own(String),
    /// Root's own: no user of the service is there.
    Root,
    /// Root's, for this user and these groups.
    Lent(User, Vec<u32>),
}

impl Eyes {
    pub fn of_process() -> Eyes {
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let us = rustix::process::geteuid();
        if !us.is_root() {
            return Eyes::Own(match user_named(&users, |_, uid| uid == us.as_raw()) {
                Some(user) => format!("`{}`", visible(&user.name)),
                None => format!("number {}", us.as_raw()),
            });
        }
        match user_named(&users, |name, _| name == SERVICE_USER) {
            Some(user) => {
                let groups = fs::read_to_string("/etc/group").unwrap_or_default();
                let groups = groups_of(&user, &groups);
                Eyes::Lent(user, groups)
            }
            None => Eyes::Root,
        }
    }

    /// Of whom advice speaks.
    pub fn user(&self) -> String {
        match self {
            Eyes::Own(name) => format!("user {name}"),
            Eyes::Root => "the user that runs tillsync".to_owned(),
            Eyes::Lent(user, _) => format!("user `{}`", visible(&user.name)),
        }
    }

    pub fn uid(&self) -> u32 {
        match self {
            Eyes::Own(_) | Eyes::Root => rustix::process::geteuid().as_raw(),
            Eyes::Lent(user, _) => user.uid,
        }
    }

    /// Whether the path may be used so, all folders above it included.
    pub fn access(&self, path: &Path, access: Access) -> io::Result<()> {
        rustix::fs::access(path, access)?;
        let Eyes::Lent(user, groups) = self else {
            return Ok(());
        };
        for above in path
            .ancestors()
            .skip(1)
            .filter(|above| !above.as_os_str().is_empty())
        {
            permitted(above, Access::EXEC_OK, user, groups)?;
        }
        permitted(path, access, user, groups)
    }
}

/// By the file's rights; where it has a finer list of them, the benefit of the doubt.
fn permitted(path: &Path, access: Access, user: &User, groups: &[u32]) -> io::Result<()> {
    let facts = fs::metadata(path)?;
    let finer = rustix::fs::getxattr(path, ACL, &mut [0u8; 0][..]).is_ok_and(|bytes| bytes > 0);
    if finer || allows(facts.mode(), facts.uid(), facts.gid(), access, user, groups) {
        Ok(())
    } else {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

fn allows(mode: u32, uid: u32, gid: u32, access: Access, user: &User, groups: &[u32]) -> bool {
    let shift = if uid == user.uid {
        6
    } else if groups.contains(&gid) {
        3
    } else {
        0
    };
    let rights = (mode >> shift) & 0o7;
    rights & access.bits() == access.bits()
}

/// Its own group, and those whose line in /etc/group names it.
fn groups_of(user: &User, groups: &str) -> Vec<u32> {
    let mut found = vec![user.gid];
    for line in groups.lines() {
        let mut parts = line.split(':').skip(2);
        let gid = parts.next().and_then(|gid| gid.parse().ok());
        let members = parts.next().unwrap_or_default();
        if let Some(gid) = gid
            && members.split(',').any(|member| member == user.name)
        {
            found.push(gid);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> User {
        User {
            name: "tillsync".to_owned(),
            uid: 990,
            gid: 980,
        }
    }

    #[test]
    fn groups_are_those_that_name_the_user() {
        let groups = "root:x:0:\ndrop:x:50:ann,tillsync\ntills:x:51:tillsync2\nbroken\n";
        assert_eq!(groups_of(&user(), groups), [980, 50]);
    }

    #[test]
    fn only_the_first_rights_that_fit_count() {
        let rw = Access::READ_OK | Access::WRITE_OK;
        for (mode, uid, gid, allowed) in [
            (0o600, 990, 0, true),
            (0o600, 0, 980, false),
            (0o060, 0, 980, true),
            (0o060, 990, 980, false),
            (0o606, 0, 0, true),
            (0o2770, 0, 50, true),
            (0o644, 0, 0, false),
        ] {
            let found = allows(mode, uid, gid, rw, &user(), &[980, 50]);
            assert_eq!(found, allowed, "{mode:o} {uid} {gid}");
        }
    }
}
