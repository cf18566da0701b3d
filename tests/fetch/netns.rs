//! Networks and machines of their own: servers are found at fixed addresses, nothing outside is needed, and tests run side
//! by side.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use tempfile::TempDir;

use crate::support::programs::{self, Program};

/// Where servers are that are not on this machine as proxies see it; from a block for documentation.
pub(super) const FAR: &str = "198.51.100.7";
/// The same.
pub(super) const FAR_V6: &str = "2001:db8::7";

/// Runs a test in a network of its own, which has the loopback with [`FAR`] and [`FAR_V6`] on it: this thread and what it
/// starts.
pub(super) fn alone(needs: &[&str], test: impl FnOnce() + Send + 'static) {
    bare(needs, || {
        ip(&format!("addr add {FAR} dev lo"));
        ip(&format!("addr add {FAR_V6} dev lo nodad"));
        test();
    });
}

/// The same with nothing but the loopback.
pub(super) fn bare(needs: &[&str], test: impl FnOnce() + Send + 'static) {
    let there =
        programs::privileged() && programs::have("ip") && needs.iter().all(|program| programs::have(program));
    if !there {
        return;
    }
    let end = thread::spawn(move || {
        #[expect(
            unsafe_code,
            reason = "there is no safe wrapper in the features of nix that are used"
        )]
        // SAFETY: the call takes a number and touches no memory; it concerns this thread alone.
        let unshared = unsafe { libc::unshare(libc::CLONE_NEWNET) };
        if unshared != 0 {
            let error = std::io::Error::last_os_error();
            assert!(std::env::var_os("CI").is_none(), "unshare: {error}");
            eprintln!("skipped: no network of its own here: {error}");
            return;
        }
        ip("link set lo up");
        test();
    })
    .join();
    if let Err(panic) = end {
        std::panic::resume_unwind(panic);
    }
}

/// `ip` with these words.
#[track_caller]
pub(super) fn ip(words: &str) {
    let done = Command::new("ip").args(words.split(' ')).output().unwrap();
    assert!(done.status.success(), "ip {words}: {done:?}");
}

/// A link to nowhere, `eth0`, up, without addresses.
pub(super) fn eth0() {
    ip("link add eth0 type veth peer name far0");
    ip("link set far0 up");
    ip("link set eth0 up");
}

/// Addresses from which nothing ever comes back: packets to them end at the other side of a cable.
pub(super) fn black_holes(addresses: &[&str]) {
    eth0();
    ip("addr add 192.0.2.1/24 dev eth0");
    ip("addr add 2001:db8:1::1/64 dev eth0 nodad");
    for address in addresses {
        ip(&format!(
            "neigh add {address} lladdr 02:00:00:00:00:99 dev eth0 nud permanent"
        ));
    }
}

/// Files of a machine that a program sees instead of ours.
pub(super) struct Machine {
    directory: TempDir,
}

impl Machine {
    /// `/etc/hosts`, `/etc/resolv.conf` and the kernel command line.
    pub(super) fn new(hosts: &str, resolv_conf: &str, cmdline: &str) -> Self {
        let machine = Self {
            directory: TempDir::new().unwrap(),
        };
        for (name, text) in [
            ("hosts", hosts),
            ("resolv.conf", resolv_conf),
            ("cmdline", cmdline),
        ] {
            fs::write(machine.path().join(name), text).unwrap();
        }
        machine
    }

    /// Where its files are, and room for others.
    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The program on this machine, after a line of shell; the program is `"$@"`.
    pub(super) fn with(&self, program: Program, shell: &str) -> Program {
        let directory = self.path().display();
        let script = format!(
            "set -e; mount --make-rprivate /; mount --bind {directory}/hosts /etc/hosts; \
             mount --bind {directory}/resolv.conf /etc/resolv.conf; \
             mount --bind {directory}/cmdline /proc/cmdline; {shell}"
        );
        program.under(["unshare", "-m", "sh", "-c", &script, "sh"])
    }

    /// The program on this machine.
    pub(super) fn runs(&self, program: Program) -> Program {
        self.with(program, "exec \"$@\"")
    }
}
