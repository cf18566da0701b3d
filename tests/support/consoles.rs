//! Terminals that stand for the consoles of a machine.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The two ends of a terminal: what a person sees, and the path of the line.
pub(crate) fn terminal() -> (File, PathBuf) {
    let master = nix::pty::posix_openpt(nix::fcntl::OFlag::O_RDWR | nix::fcntl::OFlag::O_NOCTTY).unwrap();
    nix::pty::grantpt(&master).unwrap();
    nix::pty::unlockpt(&master).unwrap();
    let path = PathBuf::from(nix::pty::ptsname_r(&master).unwrap());
    (File::from(OwnedFd::from(master)), path)
}

/// Opens a line and writes to it until it takes no more.
pub(crate) fn fill(path: &Path) -> File {
    let mut line = std::fs::OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK)
        .open(path)
        .unwrap();
    // What was written moves on a little later, and makes room once more.
    let mut refused = 0;
    while refused < 5 {
        match line.write_all(b"x") {
            Ok(()) => refused = 0,
            Err(_) => {
                refused += 1;
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
    }
    line
}

/// What stands on a terminal by now.
pub(crate) fn seen(terminal: &mut File) -> String {
    let flags = nix::fcntl::OFlag::O_NONBLOCK;
    nix::fcntl::fcntl(&*terminal, nix::fcntl::FcntlArg::F_SETFL(flags)).unwrap();
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count) = terminal.read(&mut buffer) {
        if count == 0 {
            break;
        }
        all.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8(all).unwrap().replace('\r', "")
}

/// An initrd with consoles: `(name, line)`. A console without a line is not there.
pub(crate) fn with_consoles(consoles: &[(&str, Option<&Path>)], initrd: bool) -> String {
    let mut setup = String::new();
    for (name, line) in consoles {
        if let Some(line) = line {
            let line = line.to_str().unwrap().strip_prefix("/dev/").unwrap();
            setup += &format!("touch /dev/{name}; mount --bind $scratch/dev/{line} /dev/{name}\n");
        }
        setup += &format!("echo '{name}                -W- (E   p a)    4:73' >> $scratch/consoles\n");
    }
    setup += "echo 'braille9             R-- (E     )    ' >> $scratch/consoles\n";
    setup += "mount --bind $scratch/consoles /proc/consoles\n";
    setup += if initrd {
        "touch /etc/initrd-release\n"
    } else {
        "rm -f /etc/initrd-release\n"
    };
    setup
}

/// A line in place of a virtio port of this name.
pub(crate) fn as_virtio_port(name: &str, line: &Path) -> String {
    let line = line.strip_prefix("/dev").unwrap().display();
    format!(
        "mkdir -p /dev/virtio-ports; touch /dev/virtio-ports/{name}\n\
         mount --bind $scratch/dev/{line} /dev/virtio-ports/{name}\n"
    )
}
