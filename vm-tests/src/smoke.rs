//! The harness itself: a disk, an exit code, a file back, a panic, a machine that never ends.

use std::path::Path;
use std::time::Duration;

use crate::job::{Case, Ended, must, run_all};
use crate::{Disk, Kernel, Machine, Result};

const DISK: &str = "
modprobe virtio_blk
step size cat /sys/block/vda/size /sys/block/vda/queue/logical_block_size /sys/block/vda/serial
echo written in the machine | dd of=/dev/vda bs=4096 seek=3 conv=sync 2>/dev/null
sync
step seven sh -c 'exit 7'
";

/// Runs them.
pub fn run(kernel: &Kernel, initrd: &Path) -> Result<()> {
    let disk = Machine::new(kernel, initrd, DISK).disk(Disk::empty("first", 64 << 20).sector_size(4096));
    run_all(vec![Case {
        name: "smoke-disk",
        machine: disk,
        check: Box::new(|job| {
            must(job.step("seven")?.code == 7, "the exit code of a step")?;
            let size = job.step("size")?.stdout;
            must(size == "131072\n4096\nfirst", format!("{size:?}"))?;
            let image = std::fs::read(job.disks.first().ok_or("no disk")?)?;
            let there = image.get(3 * 4096..).unwrap_or_default();
            must(
                there.starts_with(b"written in the machine\n"),
                "the disk's content",
            )?;
            Ok("a disk with sectors of 4096 bytes, written and read back".to_owned())
        }),
    }])?;

    let job = Machine::new(kernel, initrd, "exit 3").run("smoke-code")?;
    must(
        job.ended == Ended::ByItself && job.code == Some(3),
        format!("{:?} {:?}", job.ended, job.code),
    )?;
    must(job.check().is_err(), "a script that failed is a failure")?;

    let job = Machine::new(kernel, initrd, "echo c >/proc/sysrq-trigger; sleep 60").run("smoke-panic")?;
    must(job.ended == Ended::ByItself, format!("{:?}", job.ended))?;
    must(
        job.code.is_none() && job.check().is_err(),
        "a panic is a failure, at once",
    )?;

    let job = Machine::new(kernel, initrd, "sleep 600")
        .timeout(Duration::from_secs(15))
        .run("smoke-timeout")?;
    must(
        job.ended == Ended::TookTooLong && job.check().is_err(),
        "a machine that hangs is ended",
    )?;
    println!("ok   smoke: exit code, panic, time limit");
    Ok(())
}
