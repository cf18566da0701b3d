//! *A run that is killed anywhere and run again ends as one whole run* (issue 4, section 4): the program is killed before each line
//! of its report (a step is done then), at each write of a table, at each program that it starts, and at random moments; then it is run
//! again, in the same boot from the stage that was killed on, or as after a reboot from the first. What is there afterwards is compared
//! with what one run leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::engine::{Engine, EngineCase, Facts, Outcome, engine_jobs};
use crate::job::must;
use crate::{Disk, Flavour, Lab, Result};

const MIB: u64 = 1 << 20;

/// Two disks, RAID1, LUKS, four filesystems that are mounted in each other, files on all of them.
const CONFIG: &str = r#"{
  "ignition": {"version": "3.4.0"},
  "storage": {
    "disks": [
      {"device": "/dev/sda", "partitions": [
        {"number": 9, "label": "ROOT", "sizeMiB": 64, "guid": "11111111-0000-0000-0000-000000000009"},
        {"number": 1, "label": "half-a", "sizeMiB": 48, "guid": "11111111-0000-0000-0000-000000000001"},
        {"number": 2, "label": "vault", "sizeMiB": 48, "guid": "11111111-0000-0000-0000-000000000002"}]},
      {"device": "/dev/sdb", "wipeTable": true, "partitions": [
        {"number": 1, "label": "half-b", "sizeMiB": 48, "guid": "22222222-0000-0000-0000-000000000001"},
        {"label": "boot", "sizeMiB": 40, "guid": "22222222-0000-0000-0000-000000000002"}]}],
    "raid": [{"name": "data", "level": "raid1", "devices": ["/dev/disk/by-partlabel/half-a", "/dev/disk/by-partlabel/half-b"],
      "options": ["--uuid=33333333:33333333:33333333:33333333"]}],
    "luks": [{"name": "vault", "device": "/dev/disk/by-partlabel/vault", "label": "vault", "uuid": "44444444-0000-0000-0000-000000000000",
      "keyFile": {"source": "data:,secret"}, "options": ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]}],
    "filesystems": [
      {"device": "/dev/disk/by-partlabel/ROOT", "format": "ext4", "label": "ROOT", "path": "/", "uuid": "55555555-0000-0000-0000-000000000000"},
      {"device": "/dev/md/data", "format": "ext4", "label": "data", "path": "/srv", "uuid": "66666666-0000-0000-0000-000000000000"},
      {"device": "/dev/mapper/vault", "format": "ext4", "label": "inner", "path": "/srv/a/secret", "mountOptions": ["nodev"],
       "uuid": "77777777-0000-0000-0000-000000000000"},
      {"device": "/dev/disk/by-partlabel/boot", "format": "vfat", "label": "BOOT", "path": "/boot", "uuid": "2E24-EC82"}],
    "directories": [{"path": "/opt/deep/dir", "mode": 448}, {"path": "/srv/dir", "user": {"id": 500}}],
    "files": [
      {"path": "/etc/hostname", "mode": 420, "contents": {"source": "data:,host%0A"}},
      {"path": "/opt/log", "append": [{"source": "data:,one%0A"}, {"source": "data:,two%0A"}]},
      {"path": "/srv/www/index.html", "mode": 384, "user": {"id": 900}, "group": {"id": 900}, "contents": {"source": "data:,hello"}},
      {"path": "/srv/a/secret/file", "contents": {"source": "data:,hidden"}},
      {"path": "/boot/loader.conf", "contents": {"source": "data:,timeout%205%0A"}}],
    "links": [{"path": "/srv/www/link", "target": "index.html"}, {"path": "/opt/hard", "target": "/etc/hostname", "hard": true}]
  },
  "systemd": {"units": [{"name": "x.service", "enabled": true, "contents": "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"}]}
}"#;

/// What a reboot loses is lost; the kernel sees the disks anew.
const REBOOT: &str = "run reboot_disks";

/// What systemd does between the stages `disks` and `mount`.
const ROOT: &str = "run root_mounted /dev/disk/by-label/ROOT";

/// The trees, without what is of the moment in them; mounts; volumes; members. The record of a run has the order in which things were
/// done; what counts is that it says that all was.
const AFTER: &str = r#"
mdadm --wait /dev/md/data >/dev/null 2>&1
mdadm --detail /dev/md/data | sed -n 's/^ *\(Raid Level\|Raid Devices\|Active Devices\|Name\) : /\1 /p'
cryptsetup luksDump /dev/sda2 | grep -E '^(Subsystem|Flags|Label)'
dmsetup ls | sed 's/(.*//'
sed -n 's/^\/dev\/[^ ]* \([^ ]*\) \([^ ]*\) .*/mounted \1 \2/p' /proc/mounts | sort
grep -c nodev /proc/mounts
cd /sysroot || exit 1
find . ! -name .ignition-result.json -exec stat -c '%N %F %a %u:%g %h' {} + | sort
find . -type f ! -name .ignition-result.json ! -name .ignition-progress -exec sha256sum {} + | sort
tail -n 1 .ignition-progress
ls etc/.ignition-result.json
find . -name '.ignition-*'
find /run/ignition -name '*key*'
exit 0"#;

/// What a case prints that is only to be counted: the lines of each stage's report, the calls.
const COUNTS: &str = r#"
for stage in disks mount files; do
  echo "report $stage $(grep -c "\"stage\":\"$stage\"" /run/ignition/report.jsonl)"
done
for call in pwrite64 clone3 vfork; do
  echo "call $call $(grep -c "^$call(" /tmp/calls)"
done
"#;

/// The system calls of the disks stage before which it is killed, in its main thread: writes of tables, what the kernel is told, programs.
const CALLS: &str = "pwrite64,clone3,vfork";

/// A moment to kill at.
#[derive(Clone, Debug)]
struct Point {
    stage: &'static str,
    /// Words that run the stage and kill it
    words: String,
    /// Run again as after a reboot, or from the killed stage on
    reboot: bool,
    /// It must have been killed: the moment is one that every run has
    sure: bool,
}

fn case(name: &str, stages: &[String]) -> EngineCase {
    let disks = vec![Disk::empty("a", 192 * MIB), Disk::empty("b", 128 * MIB)];
    let mut case = EngineCase::new(name, CONFIG, disks).after(AFTER);
    case.stages = stages.to_vec();
    case
}

/// The stages of one run, from one of them on.
fn from(first: &str) -> Vec<String> {
    let all = ["fetch", "disks", ROOT, "mount", "files"];
    let at = all.iter().position(|stage| *stage == first).unwrap_or_default();
    all.iter().skip(at).map(|stage| (*stage).to_owned()).collect()
}

impl Point {
    fn stages(&self) -> Vec<String> {
        let mut stages: Vec<String> = from("fetch")
            .into_iter()
            .take_while(|stage| stage != self.stage)
            .collect();
        if self.stage == "umount" {
            stages = from("fetch");
        }
        stages.push(format!("{} {}", self.words, self.stage));
        if self.stage == "umount" {
            stages.push("umount".to_owned());
        } else if self.reboot {
            stages.push(REBOOT.to_owned());
            stages.extend(from("fetch"));
        } else {
            stages.extend(from(self.stage));
        }
        stages
    }

    fn name(&self) -> String {
        let mode = if self.reboot { ", reboot" } else { "" };
        format!("{} {}{mode}", self.words, self.stage)
    }
}

/// What must be equal, as lines.
fn facts(outcome: &Outcome) -> BTreeSet<String> {
    let mut facts: BTreeSet<String> = BTreeSet::new();
    for (disk, label) in outcome.labels.iter().enumerate() {
        let Some(table) = label.sound() else {
            facts.insert(format!("disk {disk} has no sound table"));
            continue;
        };
        for part in &table.partitions {
            facts.insert(format!("disk {disk} {part:?}"));
        }
    }
    // The numbers of arrays and mappings are whatever was free; a disk's GUID, an array's member's and a salt are random.
    let plain = |node: &str| match node.trim_end_matches(|letter: char| letter.is_ascii_digit()) {
        "md" => "md".to_owned(),
        "dm-" => "dm".to_owned(),
        _ => node.to_owned(),
    };
    let said = |node: &str, found: &Facts, facts: &mut BTreeSet<String>| {
        for (name, value) in found {
            if !matches!(
                name.as_str(),
                "PTUUID" | "UUID_SUB" | "DEVNAME" | "PART_ENTRY_DISK"
            ) {
                facts.insert(format!("{} {name}={value}", plain(node)));
            }
        }
    };
    for (node, found) in &outcome.blkid {
        said(node, found, &mut facts);
    }
    for (node, found) in &outcome.arrays {
        said(node, found, &mut facts);
    }
    for (node, size) in &outcome.kernel {
        if node.starts_with("sd") {
            facts.insert(format!("kernel {node} {size:?}"));
        }
    }
    for (node, luks) in &outcome.luks {
        let count = |name: &str| luks[name].as_object().map_or(0, serde_json::Map::len);
        let (slots, digests, tokens) = (count("keyslots"), count("digests"), count("tokens"));
        facts.insert(format!(
            "luks {node} {slots} {digests} {tokens} {}",
            luks["config"]["flags"]
        ));
    }
    for (link, node) in &outcome.links {
        // These tell which SCSI target a case has, and how often the kernel has seen a disk.
        if link.starts_with("/dev/disk/by-diskseq/") || link.starts_with("/dev/disk/by-path/") {
            continue;
        }
        facts.insert(format!("{link} -> {}", plain(node)));
    }
    facts.extend(outcome.after.1.lines().map(str::to_owned));
    facts
}

/// What differs, or why the second run did not end.
fn judge(point: &Point, whole: &BTreeSet<String>, outcome: &Outcome) -> Result<()> {
    let killed = outcome
        .stages
        .iter()
        .find(|ran| ran.stage == point.stage)
        .map(|ran| ran.code);
    if point.sure {
        must(killed == Some(137), format!("it was not killed: {killed:?}"))?;
    }
    must(
        outcome.code == 0 && outcome.after.0 == 0,
        format!("the second run ended with {}: {:?}", outcome.code, outcome.stages),
    )?;
    let there = facts(outcome);
    let differs: Vec<String> = whole
        .difference(&there)
        .map(|fact| format!("- {fact}"))
        .chain(there.difference(whole).map(|fact| format!("+ {fact}")))
        .collect();
    must(differs.is_empty(), differs.join("\n"))
}

/// Numbers from a seed that is said, so that a run can be had again.
struct Random(u64);

impl Random {
    fn shuffle<T>(&mut self, all: &mut [T]) {
        for place in (1..all.len()).rev() {
            let other = usize::try_from(self.below(place as u64 + 1)).unwrap_or_default();
            all.swap(place, other);
        }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit.max(1)
    }
}

/// Kills at every point, or at a sample of them for CI.
pub fn run(lab: &Lab, is_sample: bool) -> Result<()> {
    let start = Instant::now();
    let counted = format!("strace -qq -o /tmp/calls -e trace={CALLS} disks");
    let mut first = from("fetch");
    if let Some(stage) = first.iter_mut().find(|stage| *stage == "disks") {
        *stage = counted;
    }
    let mut unmounted = from("fetch");
    unmounted.push("umount".to_owned());
    let mut whole = case("whole", &first);
    whole.after = format!("({AFTER})\n(exec >/out/counts; {COUNTS})\nexit 0");
    let whole = whole;
    let runs = engine_jobs(
        lab,
        Flavour::Udev,
        Engine::Ours,
        "rerun-whole",
        &[whole, case("unmounted", &unmounted)],
    )?;
    let [whole, unmounted] = &runs[..] else {
        return Err("two runs".into());
    };
    for outcome in [whole, unmounted] {
        must(
            outcome.code == 0,
            format!("{:?}\n{}", outcome.stages, outcome.log),
        )?;
    }
    let counts = std::fs::read_to_string(crate::store().join("runs/rerun-whole-udev-ours-0/out/counts"))?;
    let now = u64::from(SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos());
    let seed: u64 = number_of("VMTEST_SEED").unwrap_or(now);
    let mut random = Random(seed | 1);
    let mut points = points(&counts, whole, &mut random)?;
    let all = points.len();
    if is_sample {
        // Evenly over all of them, which has some of each kind.
        let every = all.div_ceil(SAMPLE);
        let offset = usize::try_from(seed)? % every;
        points = points.into_iter().skip(offset).step_by(every).collect();
    }
    // In an order of its own for each seed, so that a run that is not finished has seen some of each kind, and another one can go on.
    random.shuffle(&mut points);
    let skipped = number_of::<usize>("VMTEST_SKIP")
        .unwrap_or_default()
        .min(points.len());
    println!(
        "rerun: {} of {all} points, VMTEST_SEED={seed} VMTEST_SKIP={skipped}",
        points.len()
    );
    let (whole, unmounted) = (facts(whole), facts(unmounted));
    let mut wrong = Vec::new();
    for (batch, points) in points.get(skipped..).unwrap_or_default().chunks(24).enumerate() {
        let cases: Vec<EngineCase> = points
            .iter()
            .enumerate()
            .map(|(number, point)| case(&format!("p{number}"), &point.stages()))
            .collect();
        let outcomes = engine_jobs(
            lab,
            Flavour::Udev,
            Engine::Ours,
            &format!("rerun-{batch}"),
            &cases,
        )?;
        let before = wrong.len();
        for (point, outcome) in points.iter().zip(&outcomes) {
            let wanted = if point.stage == "umount" {
                &unmounted
            } else {
                &whole
            };
            if let Err(error) = judge(point, wanted, outcome) {
                let log: Vec<&str> = outcome.log.lines().collect();
                let last = log.get(log.len().saturating_sub(25)..).unwrap_or_default();
                let text = format!(
                    "{} ({batch} {}): {error}\n{}",
                    point.name(),
                    outcome.name,
                    last.join("\n")
                );
                println!("FAIL {text}");
                wrong.push(text);
            }
        }
        let (done, failed) = (skipped + batch * 24 + points.len(), wrong.len() - before);
        println!(
            "     rerun {done} points, {failed} of the last {} failed, {:.0} s",
            points.len(),
            start.elapsed().as_secs_f64()
        );
    }
    if !wrong.is_empty() {
        return Err(format!("{} of {} points; see above", wrong.len(), points.len()).into());
    }
    println!(
        "ok   rerun-disks              {:5.1} s  {} of {all} points end as one whole run",
        start.elapsed().as_secs_f64(),
        points.len() - skipped
    );
    Ok(())
}

/// A number from the environment.
fn number_of<N: std::str::FromStr>(name: &str) -> Option<N> {
    std::env::var(name).ok()?.parse().ok()
}

/// How many points CI takes.
const SAMPLE: usize = 12;

/// How many random moments there are.
const RANDOM: u64 = 16;

/// All points: for each report line of the disks stage both ways of running again, for the others one and the other in turn.
fn points(counts: &str, whole: &Outcome, random: &mut Random) -> Result<Vec<Point>> {
    let mut numbers: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for line in counts.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [kind, name, count] = words.as_slice() {
            numbers.insert((kind, name), count.parse()?);
        }
    }
    let mut points = Vec::new();
    for stage in ["disks", "mount", "files"] {
        let count = numbers.get(&("report", stage)).copied().unwrap_or_default();
        must(
            count > 2,
            format!("the report of {stage} has {count} lines\n{counts}"),
        )?;
        for line in 1..=count {
            for reboot in [false, true] {
                // What is on the disks is told by the disks stage; the others have one of both.
                if stage == "disks" || reboot == (line % 2 == 0) {
                    let words = format!("kill_at_report {line}");
                    points.push(Point {
                        stage,
                        words,
                        reboot,
                        // Some of the last lines are written by threads that make filesystems.
                        sure: line + 4 <= count,
                    });
                }
            }
        }
    }
    for line in 1..=6 {
        let words = format!("kill_at_report {line}");
        points.push(Point {
            stage: "umount",
            words,
            reboot: false,
            sure: line <= 2,
        });
    }
    let mut turn = false;
    for call in CALLS.split(',') {
        for number in 1..=numbers.get(&("call", call)).copied().unwrap_or_default() {
            turn = !turn;
            let words = format!("kill_at_own_call {call} {number}");
            points.push(Point {
                stage: "disks",
                words,
                reboot: turn,
                sure: false,
            });
        }
    }
    let took = whole
        .stages
        .iter()
        .find(|ran| ran.stage == "disks")
        .map_or(Duration::ZERO, |ran| ran.time);
    for number in 0..RANDOM {
        let at = 200 + random.below(u64::try_from(took.as_millis())?);
        let words = format!("kill_after {at}");
        points.push(Point {
            stage: "disks",
            words,
            reboot: number % 2 == 0,
            sure: false,
        });
    }
    Ok(points)
}
