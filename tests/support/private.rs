//! Runs in a mount namespace of their own, where `/dev`, `/etc` and `/run` may be changed without anybody noticing.

use std::path::Path;

use super::programs::{Program, privileged, skipped};

/// Makes `/dev` a few devices, `/etc` a writable copy, `/run` and `/var/log` empty. `$scratch` is a directory for whatever else.
const SETUP: &str = r#"
scratch=$1; shift
mount -t tmpfs tmpfs "$scratch"
mkdir "$scratch/dev" "$scratch/upper" "$scratch/work"
mount --rbind /dev "$scratch/dev"
mount -t overlay -o "lowerdir=/etc,upperdir=$scratch/upper,workdir=$scratch/work" overlay /etc
mount -t tmpfs tmpfs /dev
for name in null zero random urandom; do
    touch "/dev/$name"; mount --bind "$scratch/dev/$name" "/dev/$name"
done
mkdir /dev/shm; mount --rbind "$scratch/dev/shm" /dev/shm
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/log
"#;

/// Whether that works here; says so if it does not.
pub(crate) fn available() -> bool {
    privileged() && {
        let scratch = tempfile::tempdir().unwrap();
        let tried = run(scratch.path(), "", &Program::new("true"));
        if tried.run().code != Some(0) {
            skipped(&format!("no mount namespace to be had: {}", tried.run()));
            return false;
        }
        true
    }
}

/// A program in such a namespace, after further lines of shell. `scratch` is an empty directory.
pub(crate) fn run(scratch: &Path, setup: &str, program: &Program) -> Program {
    let script = format!("{SETUP}\n{setup}\n\"$@\"");
    program.clone().under([
        "unshare",
        "--mount",
        "--propagation=private",
        "sh",
        "-euc",
        &script,
        "sh",
        scratch.to_str().unwrap(),
    ])
}
