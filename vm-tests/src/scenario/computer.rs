//! A computer that is booted more than once: its disks stay, and between two boots it does what Flatcar's boot loader does.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::Play;
use crate::gpt::Label;
use crate::job::{Ended, must};
use crate::{Disk, Doing as _, Job, Machine, Result, packages};

/// Where a config is found by the platform `qemu`: Flatcar's name of the entry.
pub const FW_CFG: &str = "opt/org.flatcar-linux/config";

/// What Flatcar's boot loader gives the kernel, `/usr` without verity.
pub(super) const ARGUMENTS: &str = "quiet loglevel=4 systemd.show_status=0 rootflags=rw mount.usrflags=ro mount.usr=PARTLABEL=USR-A \
                         mount.usrfstype=squashfs root=LABEL=ROOT";

/// What another distribution's boot loader gives it.
const PLAIN: &str = "quiet loglevel=4 systemd.show_status=0 root=LABEL=root rw";

/// What a machine is given that boots by the network.
const IN_RAM: &str = "quiet loglevel=4 systemd.show_status=0";

/// On the console or in the journal these mean that something is wrong, whatever else is said; besides those of every job.
const ALARMS: [&str; 5] = [
    "Found ordering cycle",
    "panicked at",
    "EXT4-fs error",
    "XFS: Internal error",
    "BTRFS error",
];

/// The first line of what a failed first boot shows.
pub const DIGEST: &str = "ignition: provisioning failed";

/// A question that every boot of the system answers so: nothing of an unfinished run is there.
pub const CHANGES: (&str, &str) = (
    "find / -xdev -name '.ignition*' ! -name .ignition-result.json",
    "",
);

/// What boots a computer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// A boot loader that does what Flatcar's does
    Flatcar,
    /// One that knows of no flag
    Loader,
    /// The network
    Network,
}

/// A computer.
#[derive(Clone, Debug)]
pub struct Computer<'a> {
    play: &'a Play,
    name: String,
    /// The disk with the system; the others come after it
    pub system: PathBuf,
    disks: Vec<Disk>,
    machine: Machine,
    arguments: Vec<String>,
    boots_by: By,
    fw_cfg: Vec<(String, Vec<u8>)>,
    boots: u32,
}

/// A boot, and what came of it.
#[derive(Clone, Debug)]
pub struct Boot {
    /// What came of the machine
    pub job: Job,
    /// Whether the boot loader saw the first-boot flag
    pub flag: bool,
}

impl<'a> Computer<'a> {
    /// A computer with the base image on its disk. Its name is that of the scenario, unless that has several.
    pub fn new(play: &'a Play, name: &str) -> Result<Self> {
        Self::with_system(play, name, By::Flatcar, &play.scene.image, &play.scene.initrd)
    }

    /// The same with a system that is not Flatcar's, in an initrd of dracut's own making.
    pub fn plain(play: &'a Play, name: &str) -> Result<Self> {
        let (image, initrd) = play.scene.plain()?;
        Self::with_system(play, name, By::Loader, &image, &initrd)
    }

    fn with_system(play: &'a Play, name: &str, boots_by: By, image: &Path, initrd: &Path) -> Result<Self> {
        let directory = play.directory.join(name);
        std::fs::create_dir_all(&directory).doing(directory.display())?;
        let system = Disk::copy_of("system", image).make(&directory)?;
        let machine = Machine::system(&play.scene.kernel, initrd)
            .initrd(&play.scene.binary)
            .timeout(Duration::from_secs(1800))
            .cpu_limit(Duration::from_secs(300))
            .network();
        Ok(Self {
            play,
            name: name.to_owned(),
            system,
            disks: Vec::new(),
            machine,
            arguments: Vec::new(),
            boots_by,
            fw_cfg: Vec::new(),
            boots: 0,
        })
    }

    /// The same with this config in the firmware's configuration.
    #[must_use]
    pub fn config(self, config: &str) -> Self {
        self.fw_cfg(FW_CFG, config)
    }

    /// The same with an entry in the firmware's configuration; it replaces one of this name.
    #[must_use]
    pub fn fw_cfg(mut self, name: &str, content: &str) -> Self {
        self.fw_cfg.retain(|(there, _)| there != name);
        self.fw_cfg.push((name.to_owned(), content.as_bytes().to_vec()));
        self
    }

    /// One more disk: `/dev/vdb`, `/dev/vdc` ...
    pub fn disk(mut self, name: &str, mebibytes: u64) -> Result<Self> {
        let path = Disk::empty(name, mebibytes << 20).make(&self.play.directory.join(&self.name))?;
        self.disks.push(Disk::at(name, &path));
        Ok(self)
    }

    /// An argument for the kernel at every boot.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// The same booted by the network: these arguments alone, and `/usr` in an archive of its own.
    #[must_use]
    pub fn in_ram(mut self, arguments: &[&str], usr: &Path) -> Self {
        self.boots_by = By::Network;
        self.arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
        self.with(|machine| machine.initrd(usr).memory(1536))
    }

    /// The same with the machine changed.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(Machine) -> Machine) -> Self {
        self.machine = change(self.machine);
        self
    }

    /// The file of a disk that was added.
    pub fn image(&self, name: &str) -> PathBuf {
        self.play.directory.join(&self.name).join(format!("{name}.raw"))
    }

    /// Another computer in the state of this one.
    pub fn copy(&self, name: &str) -> Result<Self> {
        let directory = self.play.directory.join(name);
        std::fs::create_dir_all(&directory).doing(directory.display())?;
        let mut copy = self.clone();
        name.clone_into(&mut copy.name);
        copy.boots = 0;
        copy.system = Disk::copy_of("system", &self.system).make(&directory)?;
        for disk in &mut copy.disks {
            let image = disk.image().ok_or("a disk without a file")?;
            let stem = image.file_stem().unwrap_or_default().to_string_lossy();
            *disk = Disk::at(&stem, &Disk::copy_of(&stem, image).make(&directory)?);
        }
        Ok(copy)
    }

    /// Where a partition of the disk with the system begins, in bytes.
    pub fn offset(&self, partition: u32) -> Result<u64> {
        let gpt = Label::read(&self.system, 512)?;
        let table = gpt.primary.as_ref().ok_or("no partition table")?;
        let partition = table
            .partition(partition)
            .ok_or_else(|| format!("no partition {partition}"))?;
        Ok(partition.sectors.0 * 512)
    }

    /// One of mtools on the EFI system partition; whether it went well.
    fn mtool(&self, program: &str, arguments: &[&str]) -> Result<bool> {
        let image = format!("{}@@{}", self.system.display(), self.offset(1)?);
        let output = Command::new(program)
            .args(["-i", &image])
            .args(arguments)
            .output()
            .doing(program)?;
        Ok(output.status.success())
    }

    /// Whether the first-boot flag is on the EFI system partition.
    pub fn flag(&self) -> Result<bool> {
        self.mtool("mdir", &["::/flatcar/first_boot"])
    }

    /// Sets the flag, as `touch /boot/flatcar/first_boot` does.
    pub fn set_flag(&self) -> Result<()> {
        let empty = self.play.directory.join("empty");
        std::fs::write(&empty, b"")?;
        let set = self.mtool(
            "mcopy",
            &["-o", &empty.display().to_string(), "::/flatcar/first_boot"],
        )?;
        must(set, "cannot set the flag")
    }

    /// Removes the flag.
    pub fn clear_flag(&self) -> Result<()> {
        must(
            self.mtool("mdel", &["::/flatcar/first_boot"])?,
            "cannot remove the flag",
        )
    }

    /// A directory on the EFI system partition.
    pub fn esp_directory(&self, path: &str) -> Result<()> {
        must(self.mtool("mmd", &[path])?, format!("cannot make {path}"))
    }

    /// A file on the EFI system partition.
    pub fn esp_put(&self, from: &Path, to: &str) -> Result<()> {
        let done = self.mtool("mcopy", &["-o", &from.display().to_string(), to])?;
        must(done, format!("cannot copy {} to {to}", from.display()))
    }

    /// debugfs on an ext4 partition of the disk with the system; what it printed.
    pub fn debugfs(&self, partition: u32, commands: &str) -> Result<String> {
        let script = self.play.directory.join("debugfs");
        std::fs::write(&script, commands)?;
        let image = format!("{}?offset={}", self.system.display(), self.offset(partition)?);
        packages::run(Command::new("debugfs").args(["-w", "-f"]).arg(&script).arg(image))
    }

    /// Puts a file on an ext4 partition, in a directory that is there.
    pub fn put(&self, partition: u32, path: &str, content: &str) -> Result<()> {
        let file = self.play.directory.join("put");
        std::fs::write(&file, content)?;
        self.debugfs(
            partition,
            &format!("rm {path}\nwrite {} {path}\n", file.display()),
        )?;
        Ok(())
    }

    /// What the boot loader adds: the flag's argument, and what `grub.cfg` of the OEM partition says.
    fn loader(&self) -> Result<(bool, Vec<String>)> {
        let flag = self.flag()?;
        let mut arguments = Vec::new();
        if flag {
            arguments.push("flatcar.first_boot=detected".to_owned());
        }
        let config = self.debugfs(6, "cat /grub.cfg\n").unwrap_or_default();
        let mut append = String::new();
        for line in config.lines() {
            let Some((name, value)) = line.strip_prefix("set ").and_then(|line| line.split_once('=')) else {
                continue;
            };
            let value = value.trim_matches('"');
            match name {
                "oem_id" => arguments.push(format!("flatcar.oem.id={value}")),
                "linux_append" => append = value.replace("$linux_append", &append),
                _ => {}
            }
        }
        arguments.extend(append.split_whitespace().map(str::to_owned));
        Ok((flag, arguments))
    }

    /// Boots it, without a look at how it ended. `check` is for the booted system or, if it does not come up, `emergency` for the initrd:
    /// scripts whose `step`s are seen by [`Job::step`].
    pub fn run(
        &mut self,
        check: &str,
        emergency: &str,
        change: impl FnOnce(Machine) -> Machine,
    ) -> Result<Boot> {
        let (fixed, (flag, words)) = match self.boots_by {
            By::Flatcar => (ARGUMENTS, self.loader()?),
            By::Loader => (PLAIN, Default::default()),
            By::Network => (IN_RAM, Default::default()),
        };
        self.boots += 1;
        let mut machine = self.machine.clone();
        for word in fixed.split_whitespace() {
            machine = machine.argument(word);
        }
        for word in words.iter().chain(&self.arguments) {
            machine = machine.argument(word);
        }
        machine = machine
            .disk(Disk::at("system", &self.system))
            .fw_cfg("opt/vm-tests/check", check.as_bytes())
            .fw_cfg("opt/vm-tests/emergency", emergency.as_bytes());
        for (name, content) in &self.fw_cfg {
            machine = machine.fw_cfg(name, content);
        }
        for disk in &self.disks {
            machine = machine.disk(disk.clone());
        }
        if self.play.shell {
            machine = machine.shell();
        }
        let name = self.directory(self.boots);
        let job = change(machine).run(&name)?;
        self.play.note(&job);
        Ok(Boot { job, flag })
    }

    /// Removes its disks.
    pub fn forget(self) -> Result<()> {
        std::fs::remove_file(&self.system).doing(self.system.display())?;
        for disk in &self.disks {
            if let Some(image) = disk.image() {
                std::fs::remove_file(image).doing(image.display())?;
            }
        }
        Ok(())
    }

    fn directory(&self, boot: u32) -> String {
        let mut name = format!("{}/{}", self.play.run_name(), self.name);
        name.push_str(&format!("/{boot}"));
        name
    }

    /// Boots it into its system and asks: each question is a line for bash, with the answer that it must print.
    pub fn boot(&mut self, questions: &[(&str, &str)]) -> Result<Boot> {
        self.boot_with(questions, |machine| machine)
    }

    /// The same with the machine of this boot changed.
    pub fn boot_with(
        &mut self,
        questions: &[(&str, &str)],
        change: impl FnOnce(Machine) -> Machine,
    ) -> Result<Boot> {
        let boot = self.run(&script(questions), "", change)?;
        boot.up().doing(self.name_of_boot())?;
        answers(&boot.job, questions).doing(self.name_of_boot())?;
        Ok(boot)
    }

    /// The first boot: what [`Self::boot`] does, and what must be true after every one.
    pub fn first_boot(&mut self, questions: &[(&str, &str)]) -> Result<Boot> {
        let boot = self.boot(questions)?;
        boot.provisioned(true).doing(self.name_of_boot())?;
        must(
            !boot.text("flag")?.contains("first_boot"),
            "the flag was still there when the system had come up",
        )?;
        Ok(boot)
    }

    /// A boot that must not provision.
    pub fn later_boot(&mut self, questions: &[(&str, &str)]) -> Result<Boot> {
        let boot = self.boot(questions)?;
        boot.idle().doing(self.name_of_boot())?;
        Ok(boot)
    }

    /// A boot that must end in the emergency target with the flag kept; each of `texts` must be in the digest that both consoles show.
    pub fn failing_boot(&mut self, texts: &[&str], emergency: &str) -> Result<Boot> {
        let boot = self.failing_boot_with(texts, emergency, |machine| machine)?;
        must(self.flag()?, "the flag is gone after a failure")?;
        Ok(boot)
    }

    /// The same with the machine of this boot changed, and without a look at the flag.
    pub fn failing_boot_with(
        &mut self,
        texts: &[&str],
        emergency: &str,
        change: impl FnOnce(Machine) -> Machine,
    ) -> Result<Boot> {
        let boot = self.run("", emergency, |machine| {
            change(machine.two_consoles().argument("console=hvc1 console=ttyS0"))
        })?;
        boot.failed(texts).doing(self.name_of_boot())?;
        Ok(boot)
    }

    /// A boot that is no first one and ends in the emergency target: nothing of the product may say anything.
    pub fn silent_emergency(&mut self) -> Result<Boot> {
        let boot = self.run("", "", |machine| {
            machine.argument("rd.systemd.unit=emergency.target")
        })?;
        let why = self.name_of_boot();
        must(boot.text("why").doing(&why)?.trim() == "emergency", "it came up").doing(&why)?;
        boot.idle().doing(&why)?;
        must(
            !boot.job.console.contains(DIGEST),
            "a later boot shows the digest of a first one",
        )
        .doing(&why)?;
        Ok(boot)
    }

    fn name_of_boot(&self) -> String {
        format!("boot {} ({})", self.boots, self.directory(self.boots))
    }
}

/// A script that asks.
pub fn script(questions: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (number, (question, _)) in questions.iter().enumerate() {
        let quoted = question.replace('\'', r"'\''");
        text.push_str(&format!("step ask.{number} eval '{quoted}'\n"));
    }
    // The last step's code does not matter: what was said does.
    text.push_str("true\n");
    text
}

/// Compares what was answered.
pub fn answers(job: &Job, questions: &[(&str, &str)]) -> Result<()> {
    let mut wrong = Vec::new();
    for (number, (question, want)) in questions.iter().enumerate() {
        let step = job.step(&format!("ask.{number}"))?;
        let got = step.stdout.trim_end();
        if got != *want {
            wrong.push(format!(
                "{question}\n  want: {want}\n  got:  {got}{}",
                indented(&step.stderr)
            ));
        }
    }
    must(wrong.is_empty(), wrong.join("\n"))
}

fn indented(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    format!("\n  said: {}", text.trim_end())
}

impl Boot {
    /// A file of what the machine sent.
    pub fn text(&self, name: &str) -> Result<String> {
        self.job.text(name)
    }

    /// An error unless it came up without a failed unit and without an alarm.
    pub fn up(&self) -> Result<()> {
        if self.job.ended == Ended::ByItself && self.text("why").is_ok_and(|why| why.trim() == "emergency") {
            return Err(format!(
                "it ended in the emergency target\n{}",
                last(&self.job.console, 40)
            )
            .into());
        }
        self.job.check()?;
        let failed = self.text("failed")?;
        must(failed.is_empty(), format!("failed units: {failed}"))?;
        self.no_alarm()
    }

    fn no_alarm(&self) -> Result<()> {
        let texts = [&self.job.console, &self.job.live];
        let alarm = texts
            .iter()
            .flat_map(|text| text.lines())
            .find(|line| ALARMS.iter().any(|alarm| line.contains(alarm)));
        match alarm {
            Some(line) => Err(format!("alarm: {line}").into()),
            None => Ok(()),
        }
    }

    /// What every run that went well leaves: the result file, to the byte but for the moment.
    pub fn provisioned(&self, user_config: bool) -> Result<()> {
        must(
            self.flag
                || ["flatcar.first_boot=", "ignition.firstboot"]
                    .iter()
                    .any(|word| self.text("journal").is_ok_and(|journal| journal.contains(word))),
            "no first boot was asked for",
        )?;
        let result = self.text("result")?;
        let document: Value = serde_json::from_str(&result).doing("the result file")?;
        let date = document["provisioningDate"].as_str().unwrap_or_default();
        let id = self.text("boot_id")?;
        let want = format!(
            "{{\n  \"provisioningBootID\": \"{}\",\n  \"provisioningDate\": \"{date}\",\n  \"userConfigProvided\": {user_config}\n}}\n",
            id.trim()
        );
        must(
            result == want,
            format!("the result file is\n{result}and not\n{want}"),
        )?;
        let shape: String = date
            .chars()
            .map(|letter| if letter.is_ascii_digit() { '0' } else { letter })
            .collect();
        must(
            shape == "0000-00-00T00:00:00Z",
            format!("provisioningDate is {date}"),
        )?;
        let mode = self.text("result.mode")?;
        must(mode.trim() == "600 0:0", format!("the result file has {mode}"))
    }

    /// An error if anything of the product ran.
    pub fn idle(&self) -> Result<()> {
        must(!self.flag, "the flag was there")?;
        let journal = self.text("journal")?;
        match journal.lines().find(|line| line.contains(" ignition[")) {
            Some(line) => Err(format!("it ran again: {line}").into()),
            None => Ok(()),
        }
    }

    /// An error unless it ended in the initrd's emergency target, and both consoles show the digest with these texts.
    pub fn failed(&self, texts: &[&str]) -> Result<()> {
        must(
            self.job.ended == Ended::ByItself,
            format!("it ended {:?}\n{}", self.job.ended, last(&self.job.console, 30)),
        )?;
        let why = self.text("why").doing("it did not come to its end")?;
        must(why.trim() == "emergency", "it came up")?;
        must(
            Path::new(&self.job.directory).join("out/mounts").exists(),
            "no results",
        )?;
        self.no_alarm()?;
        for (name, console) in [("first", &self.job.console), ("second", &self.job.console2)] {
            let digest = digest(console).ok_or_else(|| {
                format!(
                    "the {name} console has no digest at its end\n{}",
                    last(console, 30)
                )
            })?;
            for text in texts {
                must(
                    digest.contains(text),
                    format!("the digest on the {name} console has no '{text}'\n{digest}"),
                )?;
            }
            let all: Vec<Option<String>> = console
                .match_indices(DIGEST)
                .map(|(at, _)| console.get(at..).and_then(block))
                .collect();
            must(
                all.iter().all(|one| *one == Some(digest.clone())),
                format!("the {name} console shows different digests: {all:?}"),
            )?;
        }
        Ok(())
    }
}

/// The digest, if it is the last that a console shows, but for the harness's own words.
pub fn digest(console: &str) -> Option<String> {
    // What comes after the harness's line is said by the power button.
    let console = console.split("vm-tests: emergency").next().unwrap_or(console);
    let at = console.rfind(DIGEST)?;
    let digest = block(console.get(at..)?)?;
    let after = console.get(at + digest.len()..)?;
    let more = after.lines().find(|line| {
        !line.trim().is_empty() && !line.starts_with("vm-tests:") && !line.contains("reboot: Power down")
    });
    more.is_none().then_some(digest)
}

/// A digest from its first line on: what belongs to it begins with a label or is indented.
fn block(text: &str) -> Option<String> {
    let mut lines = text.lines();
    let mut block = lines.next()?.to_owned();
    for line in lines {
        let label = line.split(':').next().unwrap_or_default();
        let known = [
            "stage",
            "operation",
            "place",
            "config",
            "error",
            "stderr",
            "to do",
            "log",
            "sha512",
        ];
        if !line.starts_with("           ") && !known.contains(&label) {
            break;
        }
        block.push('\n');
        block.push_str(line);
    }
    Some(block)
}

fn last(text: &str, most: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines
        .get(lines.len().saturating_sub(most)..)
        .unwrap_or_default()
        .join("\n")
}
