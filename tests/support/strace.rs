//! What a traced run did.

use std::path::Path;

/// One line of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// Process
    pub(crate) pid: String,
    /// Name of the system call
    pub(crate) name: String,
    /// Everything after the opening parenthesis
    pub(crate) rest: String,
}

/// Reads a trace that was made with `-f` (each line begins with a process id) or without.
pub(crate) fn read(path: &Path) -> Vec<Call> {
    let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    text.lines().filter_map(call).collect()
}

fn call(line: &str) -> Option<Call> {
    let (pid, line) = match line.split_once(' ') {
        Some((pid, rest)) if pid.chars().all(|digit| digit.is_ascii_digit()) => {
            (pid.to_owned(), rest.trim_start())
        }
        _ => (String::new(), line),
    };
    // The second half of a call that another one interrupted: its first half was seen.
    if line.starts_with("<...") || line.starts_with("+++") || line.starts_with("---") {
        return None;
    }
    let (name, rest) = line.split_once('(')?;
    Some(Call {
        pid,
        name: name.to_owned(),
        rest: rest.to_owned(),
    })
}

/// Calls that change something on a disk, whatever their arguments.
const CHANGES: &[&str] = &[
    "mkdir",
    "mkdirat",
    "rmdir",
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "chown",
    "fchown",
    "lchown",
    "fchownat",
    "chmod",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "mknod",
    "mknodat",
    "mount",
    "umount",
    "umount2",
    "move_mount",
    "open_tree",
    "fsopen",
    "truncate",
    "ftruncate",
    "fallocate",
    "utime",
    "utimes",
    "futimesat",
    "utimensat",
    "setxattr",
    "lsetxattr",
    "fsetxattr",
    "removexattr",
    "lremovexattr",
    "fremovexattr",
    "creat",
    "copy_file_range",
    "sendfile",
    "splice",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "swapon",
    "pivot_root",
    "chroot",
    "init_module",
    "finit_module",
    "delete_module",
    "reboot",
    "sethostname",
    "fsync",
    "fdatasync",
    "syncfs",
    "bind",
    "connect",
];

/// What to ask strace for, to see all that [`writes`] knows.
pub(crate) fn traced() -> String {
    // Names that an architecture or a version of strace lacks are left out with `?`.
    let mut names: Vec<String> = CHANGES.iter().map(|name| format!("?{name}")).collect();
    names.extend(
        [
            "open", "openat", "openat2", "execve", "execveat", "fork", "vfork", "write", "writev", "ioctl",
        ]
        .map(|name| format!("?{name}")),
    );
    names.join(",")
}

/// What the traced program did that a dry run must not do; the first call of all is its own execve.
pub(crate) fn writes(calls: &[Call]) -> Vec<String> {
    let mut found = Vec::new();
    let mut programs = 0;
    for call in calls {
        let bad = match call.name.as_str() {
            "open" | "openat" | "openat2" => {
                let writes = [
                    "O_WRONLY",
                    "O_RDWR",
                    "O_CREAT",
                    "O_TRUNC",
                    "O_TMPFILE",
                    "O_APPEND",
                ]
                .iter()
                .any(|flag| call.rest.contains(flag));
                let harmless = ["\"/dev/null\"", "\"/dev/tty\""]
                    .iter()
                    .any(|path| call.rest.contains(path));
                writes && !harmless
            }
            "execve" | "execveat" => {
                programs += 1;
                programs > 1
            }
            "fork" | "vfork" => true,
            // Standard output and error are where the plan goes.
            "write" | "writev" => {
                !(call.rest.starts_with("1,")
                    || call.rest.starts_with("2,")
                    || call.rest.contains("\\1\\0\\0\\0\\0\\0\\0\\0"))
            }
            // Questions only.
            "ioctl" => !["TCGETS", "TIOCGWINSZ", "FIONREAD", "FIOCLEX", "FIONBIO"]
                .iter()
                .any(|ask| call.rest.contains(ask)),
            _ => true,
        };
        if bad {
            found.push(format!("{}({}", call.name, call.rest));
        }
    }
    found
}
