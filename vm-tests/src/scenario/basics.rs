//! Files, accounts and units from the firmware's configuration; the second boot does nothing.

use super::computer::FW_CFG;
use super::{Computer, Play, Scenario};
use crate::Result;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "first-boot",
        shows: "fw_cfg (Flatcar's name): files, accounts, keys, units of each kind; the second boot runs nothing",
        ci: true,
        play: |play| first_boot(play, FW_CFG),
    },
    Scenario {
        name: "first-boot-coreos-name",
        shows: "the same by the entry opt/com.coreos/config",
        ci: false,
        play: |play| first_boot(play, "opt/com.coreos/config"),
    },
];

/// What a first boot can do without disks of its own.
pub(super) const CONFIG: &str = r##"{
  "ignition": {"version": "3.4.0"},
  "passwd": {
    "groups": [{"name": "makers", "gid": 4321}],
    "users": [
      {"name": "core", "sshAuthorizedKeys": ["ssh-ed25519 AAAAcore one@example", "ssh-ed25519 AAAAcore two@example"], "groups": ["sudo"]},
      {"name": "alice", "uid": 1234, "gecos": "Alice, of \u00fc", "passwordHash": "$y$j9T$abc$def", "primaryGroup": "makers",
       "groups": ["docker"], "shell": "/bin/bash", "sshAuthorizedKeys": ["ssh-ed25519 AAAAalice"]},
      {"name": "daemonic", "system": true, "noCreateHome": true}
    ]
  },
  "storage": {
    "directories": [{"path": "/opt/kept", "mode": 488, "user": {"name": "alice"}, "group": {"name": "makers"}}],
    "files": [
      {"path": "/etc/plain", "contents": {"source": "data:,hello%0A"}},
      {"path": "/etc/hostname", "overwrite": true, "mode": 420, "contents": {"source": "data:,vm-host"}},
      {"path": "/opt/bin/run", "mode": 493, "contents": {"source": "data:;base64,IyEvYmluL3NoCmVjaG8gcmFuCg=="}},
      {"path": "/opt/kept/of-alice", "mode": 384, "user": {"name": "alice"}, "group": {"id": 4321}, "contents": {"source": "data:,mine"}},
      {"path": "/opt/packed", "contents": {"compression": "gzip", "source": "data:;base64,H4sIAAAAAAAAA8tIzcnJ5wIAIDA6NgYAAAA="}},
      {"path": "/etc/appended", "append": [{"source": "data:,a"}, {"source": "data:,b"}]},
      {"path": "/usr/share/oem/on-oem", "contents": {"source": "data:,oem"}},
      {"path": "/etc/motd-\u00fc", "contents": {"source": "data:,%C3%BC"}}
    ],
    "links": [
      {"path": "/etc/soft", "target": "/etc/plain"},
      {"path": "/opt/hard", "target": "/opt/bin/run", "hard": true}
    ]
  },
  "systemd": {
    "units": [
      {"name": "stamp.service", "enabled": true, "contents": "[Unit]\nDescription=stamp\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'echo ran >> /var/lib/stamp'\n[Install]\nWantedBy=multi-user.target\n",
       "dropins": [{"name": "10-more.conf", "contents": "[Service]\nExecStart=/bin/sh -c 'echo more >> /var/lib/stamp'\n"}]},
      {"name": "each@.service", "contents": "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'echo %i >> /var/lib/each'\n[Install]\nWantedBy=multi-user.target\n"},
      {"name": "each@one.service", "enabled": true},
      {"name": "each@two.service", "enabled": true},
      {"name": "shipped.service", "enabled": true},
      {"name": "off.service", "enabled": false, "contents": "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"},
      {"name": "masked.service", "mask": true},
      {"name": "shipped-on.service", "dropins": [{"name": "env.conf", "contents": "[Service]\nEnvironment=GREETING=hello\n"}]}
    ]
  }
}"##;

/// What is to be seen of it at every boot.
pub(super) const QUESTIONS: &[(&str, &str)] = &[
    ("cat /etc/plain", "hello"),
    (
        "stat -c '%a %u:%g' /etc/plain /opt/bin/run /opt/packed",
        "644 0:0\n755 0:0\n644 0:0",
    ),
    (
        "cat /etc/hostname; cat /proc/sys/kernel/hostname",
        "vm-hostvm-host",
    ),
    ("/opt/bin/run; /opt/hard; stat -c %h /opt/hard", "ran\nran\n2"),
    (
        "stat -c '%a %U:%G' /opt/kept /opt/kept/of-alice",
        "750 alice:makers\n600 alice:makers",
    ),
    ("cat /opt/packed", "hello"),
    ("cat /etc/appended", "ab"),
    ("cat '/etc/motd-ü'", "ü"),
    ("readlink /etc/soft; cat /etc/soft", "/etc/plain\nhello"),
    (
        "getent passwd alice",
        "alice:x:1234:4321:Alice, of ü:/home/alice:/bin/bash",
    ),
    ("getent shadow alice | cut -d: -f2", "$y$j9T$abc$def"),
    ("id -nG alice", "makers docker"),
    ("id -nG core", "core sudo"),
    (
        "getent passwd core",
        "core:x:500:500:CoreOS Admin:/home/core:/bin/bash",
    ),
    (
        "getent passwd daemonic | cut -d: -f3 | awk '{print ($1 < 1000)}'; ls -d /home/daemonic",
        "1",
    ),
    ("getent group makers", "makers:x:4321:"),
    (
        "stat -c '%a %U:%G' ~core/.ssh ~core/.ssh/authorized_keys.d ~core/.ssh/authorized_keys.d/ignition",
        "700 core:core\n700 core:core\n600 core:core",
    ),
    (
        "grep . ~core/.ssh/authorized_keys.d/ignition",
        "ssh-ed25519 AAAAcore one@example\nssh-ed25519 AAAAcore two@example",
    ),
    (
        "grep . ~alice/.ssh/authorized_keys.d/ignition",
        "ssh-ed25519 AAAAalice",
    ),
    ("stat -c '%a %U:%G' ~alice", "755 alice:makers"),
    (
        "systemctl is-active stamp.service each@one.service each@two.service shipped.service",
        "active\nactive\nactive\nactive",
    ),
    (
        "systemctl is-enabled stamp.service each@one.service shipped.service off.service masked.service",
        "enabled\nenabled\nenabled\ndisabled\nmasked",
    ),
    ("sort /var/lib/each | uniq", "one\ntwo"),
    ("readlink /etc/systemd/system/masked.service", "/dev/null"),
    (
        "systemctl show -P Environment shipped-on.service",
        "GREETING=hello",
    ),
    (
        "cat /etc/systemd/system-preset/20-ignition.preset",
        "enable each@.service one two\nenable shipped.service\nenable stamp.service",
    ),
    ("stat -c %a /etc/systemd/system-preset/20-ignition.preset", "644"),
    (
        "cat /oem/on-oem; ls /usr/share/oem/grub.cfg",
        "oem/usr/share/oem/grub.cfg",
    ),
    (
        "ls -A / | tr '\\n' ' '",
        ".etc-work bin boot dev etc home lib lib64 lost+found media mnt oem opt proc root run sbin srv sys tmp usr var",
    ),
    (
        "find / -xdev -name '.ignition*' ! -name .ignition-result.json",
        "",
    ),
    (
        "for at in / /usr /etc /boot /oem; do findmnt -no FSTYPE $at | tail -n1; done | tr '\\n' ' '",
        "ext4 squashfs overlay vfat ext4",
    ),
    (
        "findmnt -no FSTYPE,OPTIONS /usr | tr -s ' ' | cut -d, -f1",
        "squashfs ro",
    ),
];

fn first_boot(play: &Play, name: &str) -> Result<()> {
    let mut computer = Computer::new(play, "computer")?.fw_cfg(name, CONFIG);
    let mut questions = QUESTIONS.to_vec();
    questions.push(("cat /var/lib/stamp", "ran\nmore"));
    computer.first_boot(&questions)?;
    let mut questions = QUESTIONS.to_vec();
    questions.push(("cat /var/lib/stamp", "ran\nmore\nran\nmore"));
    computer.later_boot(&questions)?;
    Ok(())
}
