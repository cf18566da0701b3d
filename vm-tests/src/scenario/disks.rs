//! Disks: partitions, an array, an encrypted volume, each kind of file system, swap; and the root made anew.

use super::computer::CHANGES;
use super::{Computer, Play, Scenario};
use crate::Result;
use crate::gpt::Label;
use crate::job::must;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "disks",
        shows: "GPT, RAID1, LUKS, btrfs, xfs, ext4, vfat, swap, with mounts; all there again after a reboot",
        ci: true,
        play: |play| disks(play, 1024),
    },
    Scenario {
        name: "root-ext4-label",
        shows: "ROOT made anew as ext4, found by its label",
        ci: true,
        play: |play| root(play, "ext4", "label"),
    },
    Scenario {
        name: "root-xfs-partlabel",
        shows: "ROOT made anew as xfs, found by its partition's label",
        ci: false,
        play: |play| root(play, "xfs", "partlabel"),
    },
    Scenario {
        name: "root-btrfs-label",
        shows: "ROOT made anew as btrfs, found by its label",
        ci: false,
        play: |play| root(play, "btrfs", "label"),
    },
    Scenario {
        name: "root-ext4-partlabel",
        shows: "ROOT made anew as ext4, found by its partition's label",
        ci: false,
        play: |play| root(play, "ext4", "partlabel"),
    },
    Scenario {
        name: "root-xfs-label",
        shows: "ROOT made anew as xfs, found by its label",
        ci: false,
        play: |play| root(play, "xfs", "label"),
    },
    Scenario {
        name: "root-btrfs-partlabel",
        shows: "ROOT made anew as btrfs, found by its partition's label",
        ci: false,
        play: |play| root(play, "btrfs", "partlabel"),
    },
    Scenario {
        name: "root-race",
        shows: "first boots that make ROOT anew, one after the other, VMTEST_RACE of them (20); not in `all`",
        ci: false,
        play: race,
    },
];

/// Everything on `/dev/vdb`. The units are written with `\\x2d` for a dash.
pub(super) const CONFIG: &str = r##"{
  "ignition": {"version": "3.4.0"},
  "storage": {
    "disks": [{"device": "/dev/vdb", "wipeTable": true, "partitions": [
      {"number": 1, "label": "raid-1", "sizeMiB": 128, "typeGuid": "A19D880F-05FC-4D3B-A006-743F0F84911E"},
      {"number": 2, "label": "raid-2", "sizeMiB": 128, "typeGuid": "A19D880F-05FC-4D3B-A006-743F0F84911E"},
      {"number": 3, "label": "crypt", "sizeMiB": 128},
      {"number": 4, "label": "data-btrfs", "sizeMiB": 256},
      {"number": 5, "label": "data-xfs", "sizeMiB": 320},
      {"number": 6, "label": "data-vfat", "sizeMiB": 64},
      {"number": 7, "label": "swap", "sizeMiB": 64},
      {"number": 9, "label": "rest"}
    ]}],
    "raid": [{"name": "data", "level": "raid1", "devices": ["/dev/disk/by-partlabel/raid-1", "/dev/disk/by-partlabel/raid-2"]}],
    "luks": [{"name": "secret", "device": "/dev/disk/by-partlabel/crypt", "label": "SECRET", "wipeVolume": true,
      "options": ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"], "keyFile": {"source": "data:,a%20long%20passphrase"}}],
    "filesystems": [
      {"device": "/dev/md/data", "format": "ext4", "label": "RAID", "path": "/srv/raid", "wipeFilesystem": true},
      {"device": "/dev/mapper/secret", "format": "ext4", "label": "HIDDEN", "path": "/srv/secret", "wipeFilesystem": true},
      {"device": "/dev/disk/by-partlabel/data-btrfs", "format": "btrfs", "label": "BTRFS", "path": "/srv/btrfs", "wipeFilesystem": true},
      {"device": "/dev/disk/by-partlabel/data-xfs", "format": "xfs", "label": "XFS", "path": "/srv/btrfs/xfs", "wipeFilesystem": true},
      {"device": "/dev/disk/by-partlabel/data-vfat", "format": "vfat", "label": "VFAT", "path": "/srv/vfat", "wipeFilesystem": true},
      {"device": "/dev/disk/by-partlabel/swap", "format": "swap", "label": "SWAP", "wipeFilesystem": true},
      {"device": "/dev/disk/by-partlabel/rest", "format": "ext4", "label": "REST", "path": "/var/lib/rest", "mountOptions": ["noatime"], "wipeFilesystem": true}
    ],
    "directories": [{"path": "/srv/btrfs/directory", "mode": 448, "user": {"name": "core"}}],
    "files": [
      {"path": "/srv/raid/f", "contents": {"source": "data:,on%20raid"}},
      {"path": "/srv/secret/f", "mode": 384, "contents": {"source": "data:,on%20luks"}},
      {"path": "/srv/btrfs/directory/f", "user": {"name": "core"}, "contents": {"source": "data:,on%20btrfs"}},
      {"path": "/srv/btrfs/xfs/f", "contents": {"source": "data:,on%20xfs"}},
      {"path": "/srv/vfat/f", "contents": {"source": "data:,on%20vfat"}},
      {"path": "/var/lib/rest/f", "contents": {"source": "data:,on%20ext4"}}
    ]
  },
  "systemd": {"units": [
    {"name": "srv-raid.mount", "enabled": true, "contents": "[Mount]\nWhat=/dev/disk/by-label/RAID\nWhere=/srv/raid\nType=ext4\n[Install]\nRequiredBy=local-fs.target\n"},
    {"name": "srv-secret.mount", "enabled": true, "contents": "[Unit]\nRequires=systemd-cryptsetup@secret.service\nAfter=systemd-cryptsetup@secret.service\n[Mount]\nWhat=/dev/mapper/secret\nWhere=/srv/secret\nType=ext4\n[Install]\nRequiredBy=local-fs.target\n"},
    {"name": "srv-btrfs.mount", "enabled": true, "contents": "[Mount]\nWhat=/dev/disk/by-label/BTRFS\nWhere=/srv/btrfs\nType=btrfs\n[Install]\nRequiredBy=local-fs.target\n"},
    {"name": "srv-btrfs-xfs.mount", "enabled": true, "contents": "[Mount]\nWhat=/dev/disk/by-label/XFS\nWhere=/srv/btrfs/xfs\nType=xfs\n[Install]\nRequiredBy=local-fs.target\n"},
    {"name": "srv-vfat.mount", "enabled": true, "contents": "[Mount]\nWhat=/dev/disk/by-label/VFAT\nWhere=/srv/vfat\nType=vfat\n[Install]\nRequiredBy=local-fs.target\n"},
    {"name": "var-lib-rest.mount", "enabled": true, "contents": "[Mount]\nWhat=/dev/disk/by-label/REST\nWhere=/var/lib/rest\nType=ext4\n[Install]\nRequiredBy=local-fs.target\n"},
    {"name": "dev-disk-by\\x2dlabel-SWAP.swap", "enabled": true, "contents": "[Swap]\nWhat=/dev/disk/by-label/SWAP\n[Install]\nRequiredBy=swap.target\n"}
  ]}
}"##;

/// What is to be seen of it at every boot, but for the labels of Flatcar's partitions.
pub(super) const QUESTIONS: &[(&str, &str)] = &[
    (
        "for at in /srv/raid /srv/secret /srv/btrfs /srv/btrfs/xfs /srv/vfat /var/lib/rest; do findmnt -no FSTYPE $at; done | tr '\\n' ' '",
        "ext4 ext4 btrfs xfs vfat ext4",
    ),
    (
        "for file in /srv/raid/f /srv/secret/f /srv/btrfs/directory/f /srv/btrfs/xfs/f /srv/vfat/f /var/lib/rest/f; do cat $file; echo; done",
        "on raid\non luks\non btrfs\non xfs\non vfat\non ext4",
    ),
    (
        "stat -c '%a %U' /srv/secret/f /srv/btrfs/directory /srv/btrfs/directory/f",
        "600 root\n700 core\n644 core",
    ),
    (
        "grep -c 'active raid1 .*\\[' /proc/mdstat; grep -o '\\[UU\\]' /proc/mdstat",
        "1\n[UU]",
    ),
    (
        "mdadm --detail --export /dev/md/data | grep -E 'LEVEL|NAME|DEVICES'",
        "MD_LEVEL=raid1\nMD_DEVICES=2\nMD_DEVNAME=data\nMD_NAME=any:data",
    ),
    (
        "lsblk -dno TYPE /dev/mapper/secret; cryptsetup luksDump /dev/vdb3 | grep -E '^Version|^Label'",
        "crypt\nVersion:       \t2\nLabel:         \tSECRET",
    ),
    (
        "stat -c '%a %n' /etc/crypttab /etc/luks /etc/luks/secret; cut -d' ' -f1,3,4 /etc/crypttab",
        "600 /etc/crypttab\n700 /etc/luks\n600 /etc/luks/secret\nsecret /etc/luks/secret luks",
    ),
    ("swapon --show=TYPE --noheadings", "partition"),
    (
        "lsblk -rno PARTLABEL,SIZE /dev/vdb | grep -v '^ ' | sort -u",
        "crypt 128M\ndata-btrfs 256M\ndata-vfat 64M\ndata-xfs 320M\nraid-1 128M\nraid-2 128M\nrest 959M\nswap 64M",
    ),
    (
        "for n in RAID HIDDEN BTRFS XFS VFAT SWAP REST; do [ -e /dev/disk/by-label/$n ] || echo $n; done",
        "",
    ),
];

const LABELS: (&str, &str) = (
    "for n in ROOT OEM EFI-SYSTEM; do [ -e /dev/disk/by-label/$n ] || echo $n; done",
    "",
);

/// The machine with that config, in so much memory.
pub(super) fn disks(play: &Play, memory: u32) -> Result<()> {
    let mut computer = Computer::new(play, "computer")?
        .config(CONFIG)
        .disk("data", 2048)?
        .with(|machine| machine.memory(memory));
    let questions = [QUESTIONS, &[LABELS]].concat();
    computer.first_boot(&questions)?;
    let label = Label::read(&computer.image("data"), 512)?;
    let table = label.sound().ok_or("the tables of the data disk are not sound")?;
    must(table.partitions.len() == 8, format!("{:?}", table.partitions))?;
    must(
        table
            .partition(2)
            .is_some_and(|partition| partition.type_guid == "A19D880F-05FC-4D3B-A006-743F0F84911E"),
        "partition 2 has another type",
    )?;
    computer.later_boot(&questions)?;
    Ok(())
}

/// A config that makes ROOT anew.
pub(super) fn root_config(format: &str, by: &str) -> String {
    format!(
        r#"{{"ignition": {{"version": "3.3.0"}},
  "storage": {{
    "filesystems": [{{"device": "/dev/disk/by-{by}/ROOT", "format": "{format}", "label": "ROOT", "wipeFilesystem": true}}],
    "files": [{{"path": "/etc/new", "contents": {{"source": "data:,new"}}}}, {{"path": "/var/lib/new", "contents": {{"source": "data:,new"}}}}]}},
  "passwd": {{"users": [{{"name": "core", "sshAuthorizedKeys": ["ssh-ed25519 AAAAcore"]}}]}},
  "systemd": {{"units": [{{"name": "shipped.service", "enabled": true}}]}}}}"#
    )
}

fn root(play: &Play, format: &str, by: &str) -> Result<()> {
    let mut computer = Computer::new(play, "computer")?.config(&root_config(format, by));
    computer.put(9, "/of-before", "old")?;
    let questions = [
        (
            "findmnt -no FSTYPE,SOURCE / | tr -s ' '",
            &*format!("{format} /dev/vda9"),
        ),
        ("cat /etc/new /var/lib/new", "newnew"),
        ("ls /of-before", ""),
        ("systemctl is-active shipped.service", "active"),
        ("readlink /dev/disk/by-label/ROOT", "../../vda9"),
        (
            "cat ~core/.ssh/authorized_keys.d/ignition",
            "ssh-ed25519 AAAAcore",
        ),
        (
            "cat /sys/class/block/vda9/partition; lsblk -dno PARTLABEL /dev/vda9",
            "9\nROOT",
        ),
        CHANGES,
    ];
    computer.first_boot(&questions)?;
    computer.later_boot(&questions)?;
    Ok(())
}

fn race(play: &Play) -> Result<()> {
    let count = std::env::var("VMTEST_RACE")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20);
    for number in 0..count {
        let format = ["ext4", "xfs", "btrfs"]
            .get(number % 3)
            .copied()
            .unwrap_or("ext4");
        let by = if number % 2 == 0 { "label" } else { "partlabel" };
        let mut computer = Computer::new(play, &format!("{number}"))?.config(&root_config(format, by));
        computer.first_boot(&[("cat /etc/new", "new")])?;
        computer.forget()?;
    }
    Ok(())
}
