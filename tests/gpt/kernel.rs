//! The kernel is told partition by partition: on a loop device, whose kernel here reads no GPT of its own.

use std::fs::{File, OpenOptions};

use ignition_rs::gpt::{KernelPartition, Tell, tell};
use ignition_rs::sys::blkpg;

use super::disk::{Disk, ready};

/// What sysfs says of the disk's partitions.
fn known(disk: &Disk) -> Vec<KernelPartition> {
    let name = disk.path().file_name().unwrap().to_str().unwrap().to_owned();
    let mut known = Vec::new();
    for entry in std::fs::read_dir(format!("/sys/class/block/{name}")).unwrap() {
        let path = entry.unwrap().path();
        let number = |file: &str| {
            std::fs::read_to_string(path.join(file))
                .ok()?
                .trim()
                .parse::<u64>()
                .ok()
        };
        if let Some(partition) = number("partition") {
            known.push(KernelPartition {
                number: partition.try_into().unwrap(),
                start: number("start").unwrap() * 512,
                size: number("size").unwrap() * 512,
            });
        }
    }
    known.sort_by_key(|partition| partition.number);
    known
}

fn tell_all(disk: &Disk) -> Vec<Tell> {
    let table = disk.scan().table().cloned();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(disk.path())
        .unwrap();
    let list = tell(&known(disk), table.as_ref());
    for one in &list {
        tell_one(&file, *one);
    }
    list
}

/// Tells the kernel. Other tests look at all block devices, and the kernel does not let go of one that is open.
fn tell_one(file: &std::fs::File, one: Tell) {
    for _ in 0..100 {
        match blkpg::tell(file, one) {
            Ok(()) => return,
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            Err(error) => panic!("{one:?}: {error}"),
        }
    }
    panic!("{one:?}: busy for five seconds");
}

#[test]
fn the_kernel_follows() {
    for sector_size in [512, 4096] {
        if !ready() {
            return;
        }
        let Some(disk) = Disk::on_loop((64 << 20) / u64::from(sector_size), sector_size, true) else {
            return;
        };
        let file = File::open(disk.path()).unwrap();
        assert_eq!(blkpg::sector_size(&file).unwrap(), sector_size);
        assert_eq!(blkpg::size(&file).unwrap(), 64 << 20);
        drop(file);

        let mib = (1 << 20) / sector_size;
        disk.sgdisk(&[
            "-o",
            &format!("--new=1:{mib}:+{mib}"),
            &format!("--new=9:{}:+{mib}", 3 * mib),
        ])
        .expect_code(0);
        tell_all(&disk);
        let at = |number, start: u64, size: u64| KernelPartition {
            number,
            start: start << 20,
            size: size << 20,
        };
        assert_eq!(known(&disk), [at(1, 1, 1), at(9, 3, 1)]);
        assert_eq!(tell_all(&disk), []);

        // One grows, one moves, one is new, while another is in use.
        let name = format!("{}p1", disk.path().display());
        let held = File::open(&name).ok();
        disk.sgdisk(&[
            "-d",
            "9",
            &format!("--new=9:{}:+{}", 3 * mib, 4 * mib),
            &format!("--new=2:{}:+{mib}", 10 * mib),
        ])
        .expect_code(0);
        let told = tell_all(&disk);
        assert!(matches!(told[..], [Tell::Resize(_), Tell::Add(_)]), "{told:?}");
        assert_eq!(known(&disk), [at(1, 1, 1), at(2, 10, 1), at(9, 3, 4)]);
        drop(held);

        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(disk.path())
            .unwrap();
        for one in tell(&known(&disk), None) {
            tell_one(&file, one);
        }
        assert_eq!(known(&disk), []);
    }
}
