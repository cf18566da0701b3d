//! Machines for jobs about disks: that they have what is asked of them.

use crate::job::{Case, run_all};
use crate::{Disk, Flavour, Lab, Result};

/// Runs them.
pub fn run(lab: &Lab) -> Result<()> {
    let probe = "uname -a; ls -la /dev/disk/* /run/systemd; lsmod; cat /proc/uptime; systemctl --failed; dmesg | tail -50; systemd-analyze blame; exit 0";
    run_all(
        Flavour::ALL
            .into_iter()
            .map(|flavour| Case {
                name: match flavour {
                    Flavour::Bare => "disks-bare",
                    Flavour::Udev => "disks-udev",
                    Flavour::Systemd => "disks-systemd",
                },
                machine: lab.machine(flavour, probe).disk(Disk::empty("first", 64 << 20)),
                check: Box::new(|job| Ok(job.text("uptime")?)),
            })
            .collect(),
    )
}
