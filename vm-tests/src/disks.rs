//! Machines for jobs about disks: that each flavour has what is asked of it.

use std::time::Duration;

use crate::gpt::Label;
use crate::job::{Case, Ended, must, run_all};
use crate::{Disk, Flavour, Job, Lab, Moment, Result};

const MIB: u64 = 1 << 20;

/// Partitions by sgdisk on disks of both sector sizes, a file system on the first.
const GPT: &str = "
step table sgdisk -n 1:2048:+16M -c 1:one -t 1:8300 -n 2:0:+8M -c 2:two -t 2:ef00 /dev/vda
step table4k sgdisk -n 1:0:+16M -c 1:large -n 3:0:0 -c 3:rest /dev/vdb
settled
step mkfs mkfs.ext4 -q -L data -U 01234567-89ab-cdef-0123-456789abcdef /dev/vda1
step mkfat mkfs.fat -n ESP -i cafebabe /dev/vda2
settled
step nodes stat -c '%F %t:%T' /dev/vda1 /dev/vda2 /dev/vdb1 /dev/vdb3
mkdir -p /out/look && look /out/look
step verify sgdisk -v /dev/vdb
step udev ls /run/udev/control
step udevadm udevadm info -q property /dev/vda1
step private stat -c %F /run/systemd/private
step device systemctl is-active 'dev-disk-by\\x2dlabel-data.device'
step unit systemctl show -P ActiveState job.service
mkdir /tmp/m
step mount mount -t ext4 /dev/vda1 /tmp/m
echo content >/tmp/m/file
step umount umount /tmp/m
step fsck e2fsck -fn /dev/vda1
";

/// An array that a later boot finds.
const RAID: &str = "
step create mdadm --create data --force --run --homehost any --level raid1 --raid-devices 2 --metadata 1.2 /dev/vda /dev/vdb
settled
step mkfs mkfs.ext4 -q -L raided /dev/md/data
settled
mkdir /tmp/m
step mount mount /dev/disk/by-label/raided /tmp/m
echo on both >/tmp/m/file
sync
step wait mdadm --wait /dev/md/data
step detail mdadm --detail --export /dev/md/data
umount /tmp/m
mdadm --stop /dev/md/data
exit 0
";

const RAID_AGAIN: &str = "
[ -e /dev/md/data ] && exit 9
assemble_by_udev
udevadm trigger --action=add --subsystem-match=block
settled
step detail mdadm --detail --export /dev/md/data
mkdir /tmp/m
step mount mount -o ro /dev/disk/by-label/raided /tmp/m
step file cat /tmp/m/file
exit 0
";

/// Volumes, file systems, device-mapper.
const REST: &str = "
pbkdf='--pbkdf pbkdf2 --pbkdf-force-iterations 1000'
printf secret >/tmp/key
step luks cryptsetup luksFormat -q --type luks2 $pbkdf --key-file /tmp/key --label vault /dev/vda
settled
step isluks cryptsetup isLuks --type luks2 /dev/vda
step wrong sh -c 'printf wrong | cryptsetup luksOpen /dev/vda no --key-file -'
step open cryptsetup luksOpen /dev/vda vault --key-file /tmp/key
step inner mkfs.ext4 -q -L inside /dev/mapper/vault
settled
step crypt dmsetup table vault
mkdir /tmp/m
step mounted mount /dev/mapper/vault /tmp/m
echo hidden in here >/tmp/m/file
umount /tmp/m
step close cryptsetup luksClose vault

for kind in xfs btrfs vfat; do
  case $kind in
  xfs) options='-q -f -L made' ;;
  btrfs) options='-q --force -L made' ;;
  vfat) options='-n MADE' ;;
  esac
  wipefs -q -a /dev/vdb
  step mkfs.$kind mkfs.$kind $options /dev/vdb
  step mount.$kind mount -t $kind /dev/vdb /tmp/m
  echo $kind >/tmp/m/file
  sync
  umount /tmp/m
  settled
  step blkid.$kind blkid -p -o export /dev/vdb
done
wipefs -q -a /dev/vdb
step mkswap mkswap -L made /dev/vdb
step swapon swapon /dev/vdb
cat /proc/swaps >/out/swaps
swapoff /dev/vdb

echo '0 131072 linear /dev/vdc 2048' | dmsetup create whole
settled
step dmtable sgdisk -n 1:0:+8M -c 1:first -n 2:0:+8M -c 2:second /dev/mapper/whole
# The kernel reads no tables on device-mapper disks and takes no partitions for them.
step partx partx --add /dev/mapper/whole
step kpartx kpartx -a -s /dev/mapper/whole
settled
step dmfs mkfs.ext4 -q -L ondm /dev/mapper/whole2
settled
mkdir -p /out/look && look /out/look
exit 0
";

/// A volume bound to a Tang server.
const CLEVIS: &str = r#"
printf secret >/tmp/key
cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file /tmp/key /dev/vda || exit 1
step tang tang
step bind clevis luks bind -y -f -k /tmp/key -d /dev/vda sss '{"t":1,"pins":{"tang":[{"url":"http://127.0.0.1:8080"}]}}'
step unlock clevis luks unlock -d /dev/vda -n unlocked
step table dmsetup table unlocked
exit 0
"#;

/// A file that is synced and one that is not.
const BEFORE_THE_CUT: &str = "
mkfs.ext4 -q /dev/vda && mkdir /tmp/m && mount /dev/vda /tmp/m || exit 1
echo kept >/tmp/m/kept && sync
echo gone >/tmp/m/gone
echo now >/dev/hvc0
sleep 60
";

const AFTER_THE_CUT: &str = "
mkdir /tmp/m && mount /dev/vda /tmp/m || exit 1
step files ls /tmp/m
umount /tmp/m
step fsck e2fsck -fn /dev/vda
exit 0
";

const KILLERS: &str = "
step after kill_after 300 sh -c 'echo begun; sleep 20; echo never'
step early kill_after 5000 sh -c 'echo done; exit 3'
step line kill_at_line two sh -c 'echo one; echo two; sleep 20; echo never'
step call kill_at_call write 2 sh -c 'echo first; echo second; echo third'
step within kill_within 200 sleep 20
exit 0
";

/// Runs them.
pub fn run(lab: &Lab) -> Result<()> {
    let case = |name, machine, check: fn(&Job) -> Result<String>| Case {
        name,
        machine,
        check: Box::new(check),
    };
    let gpt = |flavour| {
        lab.machine(flavour, &format!("{GPT}exit 0"))
            .disk(Disk::empty("small", 64 * MIB))
            .disk(Disk::empty("large", 128 * MIB).sector_size(4096))
    };
    run_all(vec![
        case(
            "disks-rest",
            lab.machine(Flavour::Udev, REST)
                .disk(Disk::empty("first", 64 * MIB))
                .disk(Disk::empty("second", 512 * MIB))
                .disk(Disk::empty("third", 128 * MIB)),
            check_rest,
        ),
        case(
            "disks-clevis",
            lab.machine(Flavour::Udev, CLEVIS)
                .disk(Disk::empty("disk", 64 * MIB)),
            |job| {
                for name in ["tang", "bind", "unlock"] {
                    good(job, name)?;
                }
                must(good(job, "table")?.contains(" crypt "), "it was unlocked")?;
                Ok("a volume bound to a Tang server and unlocked by it".to_owned())
            },
        ),
        case("disks-bare", gpt(Flavour::Bare), |job| {
            check_gpt(job, Flavour::Bare)
        }),
        case("disks-udev", gpt(Flavour::Udev), |job| {
            check_gpt(job, Flavour::Udev)
        }),
        case("disks-systemd", gpt(Flavour::Systemd), |job| {
            check_gpt(job, Flavour::Systemd)
        }),
        case(
            "disks-killers",
            lab.machine(Flavour::Bare, KILLERS),
            check_killers,
        ),
    ])?;
    raid(lab)?;
    power_cut(lab)
}

/// What a step printed, if it ended well.
fn good(job: &Job, name: &str) -> Result<String> {
    let step = job.step(name)?;
    must(
        step.code == 0,
        format!("{name}: {}\n{}{}", step.code, step.stdout, step.stderr),
    )?;
    Ok(step.stdout)
}

fn check_gpt(job: &Job, flavour: Flavour) -> Result<String> {
    for name in ["table", "table4k", "mkfs", "mkfat", "mount", "umount", "fsck"] {
        good(job, name)?;
    }
    let nodes = good(job, "nodes")?;
    must(
        nodes.lines().count() == 4 && nodes.lines().all(|line| line.starts_with("block special file")),
        nodes,
    )?;

    // The kernel's view, in units of 512 bytes on both.
    let kernel = job.text("look/kernel")?;
    for line in [
        "vda1 2048 32768",
        "vda2 34816 16384",
        "vdb - 262144",
        "vdb1 2048 32768",
    ] {
        must(
            kernel.lines().any(|there| there == line),
            format!("{line} in\n{kernel}"),
        )?;
    }
    let blkid = job.text("look/blkid")?;
    must(
        blkid.contains("LABEL=data\n") && blkid.contains("UUID=CAFE-BABE\n"),
        blkid,
    )?;

    let links = job.text("look/links")?;
    let udev = flavour != Flavour::Bare;
    for link in [
        "'/dev/disk/by-partlabel/one' -> '../../vda1'",
        "'/dev/disk/by-partlabel/large' -> '../../vdb1'",
        "'/dev/disk/by-label/data' -> '../../vda1'",
        "'/dev/disk/by-uuid/01234567-89ab-cdef-0123-456789abcdef' -> '../../vda1'",
        "'/dev/disk/by-uuid/CAFE-BABE' -> '../../vda2'",
        "'/dev/disk/by-id/virtio-small' -> '../../vda'",
    ] {
        must(links.contains(link) == udev, format!("{link} in\n{links}"))?;
    }
    must((job.step("udev")?.code == 0) == udev, "udevd")?;
    let properties = job.step("udevadm")?;
    must(
        (properties.code == 0 && properties.stdout.contains("ID_FS_LABEL=data")) == udev,
        format!("{properties:?}"),
    )?;
    must(
        (job.step("private")?.stdout.trim() == "socket") == (flavour == Flavour::Systemd),
        "systemd's socket",
    )?;
    if flavour == Flavour::Systemd {
        must(good(job, "device")?.trim() == "active", "the device unit")?;
        must(good(job, "unit")?.trim() == "activating", "the job's unit")?;
        must(
            job.live.contains("job.service") && job.text("journal")?.contains("job.service"),
            "the journal, while it runs and afterwards",
        )?;
    }

    // The tables outside.
    let [small, large] = &job.disks[..] else {
        return Err("two disks".into());
    };
    let label = Label::read(small, 512)?;
    let table = label.sound().ok_or("the table of the small disk")?;
    let two = table.partition(2).ok_or("its second partition")?;
    must(
        (two.sectors, two.label.as_str(), two.type_guid.as_str())
            == (
                (34816, 34816 + 16383),
                "two",
                "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
            ),
        format!("{two:?}"),
    )?;
    let label = Label::read(large, 4096)?;
    let table = label.sound().ok_or("the table of the large disk")?;
    let (first, rest) = (table.partition(1), table.partition(3));
    must(
        first.is_some_and(|first| first.sectors == (256, 256 + 4095))
            && rest.is_some_and(|rest| rest.label == "rest" && rest.sectors.1 == table.usable.1),
        format!("{table:?}"),
    )?;
    Ok(format!(
        "tables of both sector sizes, {}; the job was done {} s after the kernel began",
        if udev { "links" } else { "no links" },
        job.text("uptime")?.trim()
    ))
}

fn check_rest(job: &Job) -> Result<String> {
    for name in [
        "luks", "isluks", "open", "inner", "mounted", "close", "mkswap", "swapon", "dmtable", "kpartx",
        "dmfs",
    ] {
        good(job, name)?;
    }
    must(job.step("wrong")?.code == 2, "a wrong key")?;
    must(
        good(job, "crypt")?.contains(" crypt aes-xts-plain64 "),
        "the crypt target",
    )?;
    let image = std::fs::read(job.disks.first().ok_or("no disk")?)?;
    let text: &[u8] = b"hidden in here";
    must(
        image.starts_with(b"LUKS") && !image.windows(text.len()).any(|bytes| bytes == text),
        "what is on the disk is encrypted",
    )?;
    for kind in ["xfs", "btrfs", "vfat"] {
        good(job, &format!("mkfs.{kind}"))?;
        good(job, &format!("mount.{kind}"))?;
        let blkid = good(job, &format!("blkid.{kind}"))?;
        must(
            blkid.contains(&format!("\nTYPE={kind}\n")) && blkid.to_lowercase().contains("\nlabel=made\n"),
            blkid,
        )?;
    }
    must(job.text("swaps")?.contains("/dev/vdb"), "the swap")?;
    must(
        job.step("partx")?.code != 0,
        "partx adds no partitions to a device-mapper disk",
    )?;
    let links = job.text("look/links")?;
    must(links.contains("by-label/ondm' -> '../../dm-2'"), links)?;
    Ok("LUKS2, xfs, btrfs, vfat, swap, partitions on device-mapper".to_owned())
}

fn check_killers(job: &Job) -> Result<String> {
    let ended = |name: &str| job.step(name).map(|step| (step.code, step.stdout));
    let want = [
        ("after", 137, "begun\n"),
        ("early", 3, "done\n"),
        ("line", 137, "one\ntwo\n"),
        ("call", 137, "first\n"),
    ];
    for (name, code, said) in want {
        let got = ended(name)?;
        must(got == (code, said.to_owned()), format!("{name}: {got:?}"))?;
    }
    let (code, said) = ended("within")?;
    must(
        code == 137 && said.starts_with("vm-tests: killed after "),
        format!("within: {code} {said}"),
    )?;
    Ok("by time, by line, by system call".to_owned())
}

fn raid(lab: &Lab) -> Result<()> {
    let machine = lab
        .machine(Flavour::Udev, RAID)
        .disk(Disk::empty("left", 64 * MIB))
        .disk(Disk::empty("right", 64 * MIB));
    let job = machine.clone().run("disks-raid")?;
    job.check()?;
    let detail = good(&job, "detail")?;
    for name in ["create", "mkfs", "mount"] {
        good(&job, name)?;
    }
    let again = machine
        .again(&job.disks)
        .job(RAID_AGAIN)
        .run("disks-raid-again")?;
    again.check()?;
    let same = good(&again, "detail")?;
    let uuid = |text: &str| {
        text.lines()
            .find(|line| line.starts_with("MD_UUID="))
            .map(str::to_owned)
    };
    must(
        uuid(&detail).is_some() && uuid(&detail) == uuid(&same),
        format!("{detail}{same}"),
    )?;
    must(
        good(&again, "file")? == "on both\n",
        "what was written before the reboot",
    )?;
    println!(
        "ok   disks-raid               {:5.1} s  RAID1, and the same array in a second boot",
        (job.wall + again.wall).as_secs_f64()
    );
    Ok(())
}

fn power_cut(lab: &Lab) -> Result<()> {
    let machine = lab
        .machine(Flavour::Bare, BEFORE_THE_CUT)
        .disk(Disk::empty("disk", 64 * MIB));
    let job = machine
        .clone()
        .cut(Moment::Line("now".to_owned()))
        .run("disks-cut")?;
    must(
        job.ended == Ended::Cut && job.code.is_none(),
        format!("{:?}", job.ended),
    )?;
    must(job.wall < Duration::from_secs(60), "it was cut in time")?;
    let again = machine
        .again(&job.disks)
        .job(AFTER_THE_CUT)
        .run("disks-cut-again")?;
    again.check()?;
    let files = good(&again, "files")?;
    must(files.contains("kept") && !files.contains("gone"), files)?;
    good(&again, "fsck")?;
    println!(
        "ok   disks-cut                {:5.1} s  power cut, then again: what was synced is there",
        (job.wall + again.wall).as_secs_f64()
    );
    Ok(())
}
