//! `user`: whom the serving process belongs to. Names are looked up in /etc/passwd and /etc/group, and the rights of whoever
//! started the server are given up once, before there is a second thread.

use std::path::Path;

use rustix::process::{Gid, Uid};

/// Numbers of a user, with the groups the process is to be in.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    /// All groups that list the user, with `gid`.
    pub groups: Vec<u32>,
}

/// Without a `user` line a server that root started serves as nobody.
const NOBODY: &str = "nobody";
const NOBODYS_ID: u32 = 65534;

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What `user NAME [GROUP]` means. Err: nginx's words.
pub fn find(name: &str, group: Option<&str>) -> Result<User, String> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    look_up(&passwd, &groups, name, group)
}

fn look_up(passwd: &str, groups: &str, name: &str, group: Option<&str>) -> Result<User, String> {
    // name:password:uid:gid:...
    let uid = field(passwd, name, 2).ok_or_else(|| format!("getpwnam(\"{name}\") failed"))?;
    let group = group.unwrap_or(name);
    // name:password:gid:member,member
    let gid = field(groups, group, 2).ok_or_else(|| format!("getgrnam(\"{group}\") failed"))?;
    let member = |line: &str| line.rsplit(':').next().is_some_and(|names| names.split(',').any(|one| one == name));
    let mut all = vec![gid];
    for line in groups.lines().filter(|line| member(line)) {
        let number = line.split(':').nth(2).and_then(|number| number.parse().ok());
        all.extend(number.filter(|&number: &u32| number != gid));
    }
    Ok(User { name: name.into(), uid, gid, groups: all })
}

fn field(table: &str, name: &str, at: usize) -> Option<u32> {
    let line = table.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(at)?.parse().ok()
}

/// Whom the server belongs to where no `user` line says so; None: to whoever started it.
pub fn default() -> Option<User> {
    if !is_root() {
        return None;
    }
    let found = find(NOBODY, Some("nogroup")).or_else(|_| find(NOBODY, None));
    let numbers = || User { name: NOBODY.into(), uid: NOBODYS_ID, gid: NOBODYS_ID, groups: vec![NOBODYS_ID] };
    Some(found.unwrap_or_else(|_| numbers()))
}

impl User {
    /// Becomes that user for good. The process must have one thread only. Err: nginx's words.
    pub fn become_it(&self) -> Result<(), String> {
        let failed = |call: String| {
            move |error| format!("{call} failed {}", crate::conf::os_error(&std::io::Error::from(error)))
        };
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        let groups: Vec<Gid> = self.groups.iter().map(|&number| Gid::from_raw(number)).collect();
        rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(failed(format!("setgid({})", self.gid)))?;
        rustix::thread::set_thread_groups(&groups)
            .map_err(failed(format!("initgroups({}, {})", self.name, self.gid)))?;
        rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(failed(format!("setuid({})", self.uid)))
    }

    /// Gives the user a file or directory that the server has to write to after it gave up its rights.
    pub fn give(&self, path: &Path) -> std::io::Result<()> {
        std::os::unix::fs::chown(path, Some(self.uid), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/:/bin/false\n";
        let groups = "root:x:0:\nweb:x:33:\nssl:x:7:other,web\nwebs:x:9:webs\n";
        let check = |name: &str, group: Option<&str>, expected: Result<(u32, u32, &[u32]), &str>| {
            let got = look_up(passwd, groups, name, group).map(|user| (user.uid, user.gid, user.groups));
            let expected = expected.map(|(uid, gid, all)| (uid, gid, all.to_vec()));
            assert_eq!(got, expected.map_err(str::to_string), "{name} {group:?}");
        };
        check("web", None, Ok((33, 33, &[33, 7])));
        check("web", Some("ssl"), Ok((33, 7, &[7])));
        check("root", Some("web"), Ok((0, 33, &[33])));
        check("none", None, Err("getpwnam(\"none\") failed"));
        check("web", Some("none"), Err("getgrnam(\"none\") failed"));
    }
}
