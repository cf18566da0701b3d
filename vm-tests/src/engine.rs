//! An engine (ours, or Debian's Go Ignition) runs its stages on disks in a machine; what it left is read back. Many cases share one
//! boot: each has its own SCSI disks, which the kernel sees as `/dev/sda`, `/dev/sdb` ... while the case runs, and nothing of which
//! is left when the next one begins.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::gpt::Label;
use crate::job::{Ended, must};
use crate::{Disk, Doing as _, Flavour, Job, Lab, Machine, Moment, Result, base, tools};

/// How many cases share a boot: a boot costs as much as one or two cases.
const CASES_OF_A_BOOT: usize = 12;

/// Whose program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The binary under test
    Ours,
    /// Debian's Go Ignition 2.14.0; its disks stage needs [`Flavour::Systemd`]
    Peer,
    /// The same with an sgdisk that does not sleep a second for each table that it writes; for comparing what is done, not how fast
    QuickPeer,
}

impl Engine {
    /// Its name, for names of runs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Peer => "peer",
            Self::QuickPeer => "quick-peer",
        }
    }

    /// Where it is in a machine.
    pub fn program(self) -> &'static str {
        match self {
            Self::Ours => base::BINARY,
            Self::Peer | Self::QuickPeer => tools::PEER,
        }
    }
}

/// What an engine is to do, with what.
#[derive(Clone, Debug)]
pub struct EngineCase {
    /// Letters, digits and `-`
    pub name: String,
    /// The config's text
    pub config: String,
    /// `/dev/sda`, `/dev/sdb` ...; their serial numbers are `disk0`, `disk1` ...
    pub disks: Vec<Disk>,
    /// A script that gives the disks their content, in an earlier boot (see [`prepared`])
    pub prepare: String,
    /// A script that runs just before the engine, in the same boot: mounts, opens, assembles
    pub setup: String,
    /// A script that runs after it; what it prints is [`Outcome::after`]
    pub after: String,
    /// The stages, one process each; the first that fails is the last. Words before one run it, and it may fail then:
    /// `kill_after 300 disks`, `kill_at_call pwrite64 3 disks`, `kill_at_line 'creating' disks` (see `guest/disks`). `run WORDS` is no
    /// stage, but what happens between two.
    pub stages: Vec<String>,
}

impl EngineCase {
    /// The stages `fetch` and `disks` with this config, on these disks.
    pub fn new(name: &str, config: &str, disks: Vec<Disk>) -> Self {
        Self {
            name: name.to_owned(),
            config: config.to_owned(),
            disks,
            prepare: String::new(),
            setup: String::new(),
            after: String::new(),
            stages: vec!["fetch".to_owned(), "disks".to_owned()],
        }
    }

    /// Sets [`Self::prepare`].
    #[must_use]
    pub fn prepare(mut self, script: &str) -> Self {
        script.clone_into(&mut self.prepare);
        self
    }

    /// Sets [`Self::setup`].
    #[must_use]
    pub fn setup(mut self, script: &str) -> Self {
        script.clone_into(&mut self.setup);
        self
    }

    /// Sets [`Self::after`].
    #[must_use]
    pub fn after(mut self, script: &str) -> Self {
        script.clone_into(&mut self.after);
        self
    }

    /// Sets [`Self::stages`].
    #[must_use]
    pub fn stages(mut self, stages: &[&str]) -> Self {
        self.stages = stages.iter().map(|stage| (*stage).to_owned()).collect();
        self
    }

    /// Its disks in a machine that has those of other cases too, with the numbers by which the machine attaches them.
    fn targets(&self, used: &mut usize) -> (Vec<Disk>, String) {
        let mut numbers = String::new();
        let mut disks = Vec::new();
        for (number, disk) in self.disks.iter().enumerate() {
            numbers += &format!("{} ", *used + number);
            let name = format!("{}-{number}", self.name);
            disks.push(disk.clone().named(&name).serial(&format!("disk{number}")).scsi());
        }
        *used += disks.len();
        (disks, numbers)
    }
}

/// A stage that ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Its name
    pub stage: String,
    /// Its exit code
    pub code: i64,
    /// How long it took in the machine
    pub time: Duration,
}

/// What `blkid` or `mdadm` say of something, by their names.
pub type Facts = BTreeMap<String, String>;

/// What came of a case.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The case
    pub name: String,
    /// The exit code of the last stage that ran
    pub code: i64,
    /// The stages that ran
    pub stages: Vec<Ran>,
    /// All that the engine printed
    pub log: String,
    /// The disks' partition tables, as the images have them
    pub labels: Vec<Label>,
    /// First sector and size of what the kernel has in `/sys/class/block`, in units of 512 bytes, by name
    pub kernel: BTreeMap<String, (Option<u64>, u64)>,
    /// What `blkid -p` says, by the kernel's name (`sda1`, `md127`): `TYPE`, `UUID`, `LABEL` ...; `EXIT` if it was not sure
    pub blkid: BTreeMap<String, Facts>,
    /// What `mdadm --detail --export` says, by the kernel's name
    pub arrays: BTreeMap<String, Facts>,
    /// The metadata of LUKS2 volumes, by the kernel's name
    pub luks: BTreeMap<String, Value>,
    /// Links below `/dev/disk`, `/dev/md` and `/dev/mapper`, with the kernel's names that they lead to
    pub links: BTreeMap<String, String>,
    /// `/proc/swaps`
    pub swaps: String,
    /// `/proc/mounts`
    pub mounts: String,
    /// What `sgdisk -v` says of each disk
    pub verify: String,
    /// What the case's script `after` printed, and its exit code
    pub after: (i64, String),
    /// The disks as the case left them
    pub images: Vec<PathBuf>,
    /// The images that they began with; none of an empty disk
    pub began: Vec<Option<PathBuf>>,
}

impl Outcome {
    /// A partition of a disk, by number; the table must be sound.
    pub fn partition(&self, disk: usize, number: u32) -> Result<&crate::gpt::Partition> {
        let label = self.labels.get(disk).ok_or("no such disk")?;
        label
            .sound()
            .ok_or("no sound table")?
            .partition(number)
            .ok_or_else(|| format!("{}: no partition {number}", self.name).into())
    }

    /// What `blkid` says of a device under this name, or nothing.
    pub fn fact(&self, node: &str, name: &str) -> &str {
        self.blkid
            .get(node)
            .and_then(|facts| facts.get(name))
            .map_or("", String::as_str)
    }

    /// Whether any byte of a disk is another one than before the case.
    pub fn changed(&self, disk: usize) -> Result<bool> {
        let image = self.images.get(disk).ok_or("no such disk")?;
        let began = self.began.get(disk).ok_or("no such disk")?;
        let mut now = File::open(image).doing(image.display())?;
        let mut before = match began {
            Some(path) => Some(File::open(path).doing(path.display())?),
            None => None,
        };
        let (mut a, mut b) = (vec![0; 1 << 20], vec![0; 1 << 20]);
        loop {
            let count = now.read(&mut a)?;
            if count == 0 {
                return Ok(false);
            }
            if let Some(before) = &mut before {
                let mut filled = 0;
                while filled < count {
                    let more = before.read(&mut b[filled..count])?;
                    if more == 0 {
                        // The image was shorter than the disk.
                        b[filled..count].fill(0);
                        break;
                    }
                    filled += more;
                }
            }
            if a[..count] != b[..count] {
                return Ok(true);
            }
        }
    }
}

/// Runs one case in a machine of its own.
pub fn engine_job(lab: &Lab, flavour: Flavour, engine: Engine, case: &EngineCase) -> Result<Outcome> {
    let name = case.name.clone();
    let outcomes = engine_jobs(lab, flavour, engine, &name, std::slice::from_ref(case))?;
    outcomes.into_iter().next().ok_or_else(|| "no outcome".into())
}

/// Runs cases, several in a machine, two machines at a time. The runs are called `NAME-FLAVOUR-ENGINE-NUMBER`. An error means that
/// a machine did not do what it was told; that an engine failed is an [`Outcome`]. Cases that have a `prepare` must be [`prepared`].
pub fn engine_jobs(
    lab: &Lab,
    flavour: Flavour,
    engine: Engine,
    name: &str,
    cases: &[EngineCase],
) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    // Two machines that share the cases are sooner done than one; a boot costs as much as two cases.
    let of_a_boot = if cases.len() > 8 {
        cases.len().div_ceil(2).min(CASES_OF_A_BOOT)
    } else {
        CASES_OF_A_BOOT
    };
    std::thread::scope(|scope| -> Result<()> {
        let boots: Vec<_> = cases
            .chunks(of_a_boot)
            .enumerate()
            .map(|(number, cases)| {
                let run = format!("{name}-{}-{}-{number}", flavour.name(), engine.name());
                scope.spawn(move || boot(lab, flavour, engine, &run, cases))
            })
            .collect();
        for boot in boots {
            outcomes.extend(boot.join().map_err(|_| "a thread panicked")??);
        }
        Ok(())
    })?;
    Ok(outcomes)
}

/// Gives the cases' disks their content, in one boot: the cases, with disks that begin with it. Both engines then begin with the
/// same bytes, and what they began with is there to compare.
pub fn prepared(lab: &Lab, name: &str, cases: Vec<EngineCase>) -> Result<Vec<EngineCase>> {
    let mut script = String::new();
    let mut disks = Vec::new();
    let mut machine = lab.machine(Flavour::Udev, "");
    for (number, case) in cases.iter().enumerate() {
        if case.prepare.is_empty() {
            continue;
        }
        let mut used = disks.len();
        let (own, targets) = case.targets(&mut used);
        disks.extend(own);
        machine = machine.file(&format!("job/prepare/{number}"), 0o644, case.prepare.as_bytes());
        script += &format!(
            "attach {targets}\nstep {number} sh -euc '. /job/disks; . /job/prepare/{number}'\ndetach >/tmp/detach 2>&1\n\
             grep 'vm-tests: cannot' /tmp/detach\n"
        );
    }
    if disks.is_empty() {
        return Ok(cases);
    }
    for disk in &disks {
        machine = machine.disk(disk.clone());
    }
    let job = machine
        .job(&(script + "exit 0"))
        .timeout(Duration::from_secs(900))
        .run(&format!("{name}-prepare"))?;
    job.check()?;
    let mut images = job.disks.iter();
    cases
        .into_iter()
        .enumerate()
        .map(|(number, mut case)| {
            if !case.prepare.is_empty() {
                let step = job.step(&number.to_string())?;
                if step.code != 0 {
                    return Err(format!("{}: prepare: {}\n{}", case.name, step.code, step.stderr).into());
                }
                for disk in &mut case.disks {
                    let image = images.next().ok_or("an image is missing")?;
                    *disk = disk.clone().with(image);
                }
            }
            Ok(case)
        })
        .collect()
}

/// Runs a case in a machine whose power is cut: the case with its disks as they are then, for a second attempt. What the engine prints
/// is on `/dev/hvc0`, and before it `vm-tests: case 0 begins STAGE`.
pub fn engine_cut(
    lab: &Lab,
    flavour: Flavour,
    engine: Engine,
    case: &EngineCase,
    moment: Moment,
) -> Result<EngineCase> {
    let run = format!("{}-{}-{}-cut", case.name, flavour.name(), engine.name());
    let (machine, _) = machine(lab, flavour, engine, std::slice::from_ref(case));
    let job = machine.cut(moment).run(&run)?;
    must(
        job.ended == Ended::Cut,
        format!("{run} was not cut: {:?}, code {:?}", job.ended, job.code),
    )?;
    let mut case = case.clone();
    for (disk, image) in case.disks.iter_mut().zip(&job.disks) {
        *disk = disk.clone().with(image);
    }
    Ok(case)
}

/// A machine for cases, with the range of its disks that each has.
fn machine(
    lab: &Lab,
    flavour: Flavour,
    engine: Engine,
    cases: &[EngineCase],
) -> (Machine, Vec<Range<usize>>) {
    let mut machine: Machine = lab.machine(flavour, "");
    let mut script = match engine {
        Engine::QuickPeer => "nosleep\n".to_owned(),
        Engine::Ours | Engine::Peer => String::new(),
    };
    let mut used = 0;
    let mut ranges = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let start = used;
        let (disks, targets) = case.targets(&mut used);
        ranges.push(start..used);
        for disk in disks {
            machine = machine.disk(disk);
        }
        for (file, content) in [
            ("config.ign", &case.config),
            ("setup", &case.setup),
            ("after", &case.after),
            ("targets", &targets),
        ] {
            machine = machine.file(&format!("job/case/{number}/{file}"), 0o600, content.as_bytes());
        }
        script += &format!(
            "engine_case {number} {} {}\n",
            engine.program(),
            words(&case.stages)
        );
    }
    let minutes = 2 + cases.len() as u64;
    let machine = machine
        .job(&(script + "exit 0"))
        .timeout(Duration::from_secs(60 * minutes));
    (machine, ranges)
}

/// Each as one word for the shell.
fn words(stages: &[String]) -> String {
    let quoted: Vec<String> = stages
        .iter()
        .map(|stage| format!("'{}'", stage.replace('\'', r"'\''")))
        .collect();
    quoted.join(" ")
}

fn boot(
    lab: &Lab,
    flavour: Flavour,
    engine: Engine,
    run: &str,
    cases: &[EngineCase],
) -> Result<Vec<Outcome>> {
    let (machine, ranges) = machine(lab, flavour, engine, cases);
    let job = machine.run(run)?;
    job.check().doing(run)?;
    cases
        .iter()
        .zip(ranges)
        .enumerate()
        .map(|(number, (case, range))| {
            let images = job.disks.get(range).unwrap_or_default();
            outcome(&job, number, case, images).doing(format!("{run}: {}", case.name))
        })
        .collect()
}

fn outcome(job: &Job, number: usize, case: &EngineCase, images: &[PathBuf]) -> Result<Outcome> {
    let text = |name: &str| job.text(&format!("case/{number}/{name}"));
    let code = |name: &str| -> Result<i64> { Ok(text(name)?.trim().parse()?) };
    if code("setup.code")? != 0 {
        return Err(format!("setup failed: {}", text("setup")?).into());
    }
    let mut stages = Vec::new();
    for line in text("stages")?.lines() {
        let mut words = line.split_whitespace();
        let mut word = || words.next().ok_or("a short line in `stages`");
        stages.push(Ran {
            stage: word()?.to_owned(),
            code: word()?.parse()?,
            time: Duration::from_millis(word()?.parse()?),
        });
    }
    let read = |(image, disk): (&PathBuf, &Disk)| Label::read(image, disk.sector());
    let mut kernel = BTreeMap::new();
    for line in text("kernel")?.lines() {
        if let [name, start, size] = line.split_whitespace().collect::<Vec<_>>()[..] {
            kernel.insert(name.to_owned(), (start.parse().ok(), size.parse()?));
        }
    }
    let mut luks = BTreeMap::new();
    let mut node = "";
    let dumps = text("luks")?;
    for line in dumps.lines() {
        match line.strip_prefix("NODE=") {
            Some(name) => node = name,
            // LUKS1 has no such metadata.
            None => {
                luks.insert(node.to_owned(), serde_json::from_str(line).unwrap_or(Value::Null));
            }
        }
    }
    Ok(Outcome {
        name: case.name.clone(),
        code: stages.last().ok_or("no stage ran")?.code,
        stages,
        log: text("log")?,
        labels: images.iter().zip(&case.disks).map(read).collect::<Result<_>>()?,
        kernel,
        blkid: facts(&text("blkid")?),
        arrays: facts(&text("md")?),
        luks,
        links: links(&text("links")?),
        swaps: text("swaps")?,
        mounts: text("mounts")?,
        verify: text("verify")?,
        after: (code("after.code")?, text("after")?),
        images: images.to_vec(),
        began: case
            .disks
            .iter()
            .map(|disk| disk.image().map(Path::to_path_buf))
            .collect(),
    })
}

/// `NODE=sda1`, then what is said of it, `NAME=value`.
fn facts(text: &str) -> BTreeMap<String, Facts> {
    let mut all: BTreeMap<String, Facts> = BTreeMap::new();
    let mut node = String::new();
    for line in text.lines() {
        match line.split_once('=') {
            Some(("NODE", name)) => {
                name.clone_into(&mut node);
                all.entry(node.clone()).or_default();
            }
            Some((name, value)) => {
                all.entry(node.clone())
                    .or_default()
                    .insert(name.to_owned(), value.to_owned());
            }
            None => {}
        }
    }
    all
}

/// Lines of `'/dev/disk/by-label/x' -> '../../sda1'`; the targets without their directories.
fn links(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| {
            let (from, to) = line.split_once("' -> '")?;
            let to = to.trim_end_matches('\'');
            let to = to.rsplit('/').next().unwrap_or(to);
            Some((from.trim_start_matches('\'').to_owned(), to.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{facts, links};

    #[test]
    fn what_machines_send_is_read() {
        let all = facts("NODE=sda\nPTTYPE=gpt\nNODE=sda1\nTYPE=ext4\nLABEL=a=b\n\nNODE=sda2\nEXIT=2\n");
        assert_eq!(all["sda1"]["LABEL"], "a=b");
        assert_eq!(all["sda2"]["EXIT"], "2");
        assert_eq!(all.len(), 3);
        let all = links("'/dev/disk/by-label/a b' -> '../../sda1'\n'/dev/md/x' -> '../md127'\n");
        assert_eq!(all["/dev/disk/by-label/a b"], "sda1");
        assert_eq!(all["/dev/md/x"], "md127");
    }
}
