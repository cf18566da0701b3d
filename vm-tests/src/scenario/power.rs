//! Power cuts: whatever the moment, the machine ends as one that was not interrupted.

use std::time::Duration;

use super::{Computer, Play, Scenario, disks};
use crate::job::{Ended, must};
use crate::{Moment, Result};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "power-cut",
        shows: "a power cut while files are written, resumed: as without it",
        ci: false,
        play: |play| cuts(play, &[("ignition-files.service", 700)]),
    },
    Scenario {
        name: "power-cuts-early",
        shows: "power cuts at five points from fetch to the end of disks, each resumed: as without them",
        ci: false,
        play: |play| {
            cuts(
                play,
                &[
                    ("ignition-fetch-offline.service", 300),
                    ("ignition-disks.service", 500),
                    ("ignition-disks.service", 2500),
                    ("ignition-disks.service", 5000),
                    ("stage disks succeeded", 0),
                ],
            )
        },
    },
    Scenario {
        name: "power-cuts-late",
        shows: "power cuts at five points from mount to the switch of the root, each resumed: as without them",
        ci: false,
        play: |play| {
            cuts(
                play,
                &[
                    ("ignition-mount.service", 600),
                    ("ignition-files.service", 200),
                    ("ignition-files.service", 1500),
                    ("stage files succeeded", 0),
                    ("Starting ignition-quench.service", 100),
                ],
            )
        },
    },
];

/// Everything that a run decides about: names, modes, owners and bytes, with what is on the disks. What a boot by itself makes
/// different is left out.
const STATE: &str = r#"
places='/ /etc /srv/raid /srv/secret /srv/btrfs /srv/btrfs/xfs /srv/vfat /var/lib/rest /oem'
list() {
  for place in $places; do
    find $place -xdev \( -path /var/log -o -path /var/cache -o -path /var/lib/systemd -o -path /var/tmp -o -path /tmp -o -path /.etc-work -o -path /etc/machine-id \
      -o -path /etc/.ignition-result.json -o -path /etc/.updated -o -path /var/.updated -o -name lost+found \) -prune -o "$@"
  done
}
state() {
  list -printf '%M %U:%G %p -> %l\n' | sort -u
  # A volume that was made anew has another UUID, which is in crypttab.
  list -type f ! -name 'shadow*' ! -name 'gshadow*' ! -path /etc/crypttab -print0 | sort -zu | xargs -0 sha256sum
  cut -d: -f1,2 /etc/shadow
  lsblk -rno NAME,FSTYPE,LABEL,PARTLABEL,SIZE,TYPE /dev/vda /dev/vdb | sort -u
  cat /etc/crypttab | cut -d' ' -f1,3-
}
step state state
"#;

/// The disks, some files that are only made once, and an append.
fn config() -> String {
    disks::CONFIG.replace(
        r#""files": ["#,
        r#""files": [
      {"path": "/etc/once", "contents": {"source": "data:,once"}},
      {"path": "/etc/hosts", "append": [{"source": "data:,10.0.0.1%20appended%0A"}]},
      {"path": "/opt/deep/er/file", "contents": {"source": "data:,deep"}},"#,
    )
}

fn cuts(play: &Play, points: &[(&str, u64)]) -> Result<()> {
    let fresh = Computer::new(play, "fresh")?
        .config(&config())
        .disk("data", 2048)?;
    let mut whole = fresh.copy("whole")?;
    let boot = whole.run(STATE, "", |machine| machine)?;
    boot.up()?;
    boot.provisioned(true)?;
    let want = boot.job.step("state")?.stdout;
    must(want.contains("/opt/deep/er/file"), format!("no state: {want}"))?;
    whole.forget()?;
    for (number, (line, milliseconds)) in points.iter().enumerate() {
        let point = format!("{line} + {milliseconds} ms");
        let mut computer = fresh.copy(&format!("cut-{number}"))?;
        let moment = Moment::AfterLine((*line).to_owned(), Duration::from_millis(*milliseconds));
        let cut = computer.run("", "", |machine| machine.cut(moment))?;
        must(
            cut.job.ended == Ended::Cut,
            format!("{point}: it ended {:?}", cut.job.ended),
        )?;
        let boot = computer.run(STATE, "", |machine| machine)?;
        boot.up().map_err(|error| format!("{point}: {error}"))?;
        if boot.flag {
            boot.provisioned(true)?;
        }
        must(!computer.flag()?, format!("{point}: the flag is still there"))?;
        let got = boot.job.step("state")?.stdout;
        must(got == want, format!("{point}: {}", difference(&want, &got)))?;
        computer.forget()?;
    }
    fresh.forget()
}

/// The first lines that only one of them has.
fn difference(want: &str, got: &str) -> String {
    let only = |one: &str, other: &str| {
        let there: std::collections::BTreeSet<&str> = other.lines().collect();
        let lines: Vec<&str> = one
            .lines()
            .filter(|line| !there.contains(line))
            .take(40)
            .collect();
        lines.join("\n    ")
    };
    format!(
        "another state than without a cut\n  missing:\n    {}\n  more:\n    {}",
        only(want, got),
        only(got, want)
    )
}
