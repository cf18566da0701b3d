//! A machine: what to boot, with what attached, for how long.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::job::Job;
use crate::running::{Running, Turn};
use crate::{Archive, Doing as _, Kernel, Result, packages, store};

/// What every kernel is told. A panic ends the machine; the clock's rate comes by [`clock`].
const ARGUMENTS: &str = "console=ttyS0 panic=-1 reboot=t mitigations=off no_timer_check nokaslr audit=0 \
                         apparmor=0 cryptomgr.notests random.trust_cpu=on";

/// A disk. It is a sparse file in the run's directory, and stays there.
#[derive(Clone, Debug)]
pub struct Disk {
    name: String,
    size: u64,
    sector: u32,
    image: Option<PathBuf>,
    /// The image itself is the disk, not a copy of it
    itself: bool,
    scsi: bool,
    serial: Option<String>,
}

impl Disk {
    /// An empty one of `size` bytes. In the machine it is the virtio disk with the serial number `name`; the first is
    /// `/dev/vda`.
    pub fn empty(name: &str, size: u64) -> Self {
        Self {
            name: name.to_owned(),
            size,
            sector: 512,
            image: None,
            itself: false,
            scsi: false,
            serial: None,
        }
    }

    /// One that begins with a copy of a raw image, and is at least as large.
    pub fn copy_of(name: &str, image: &Path) -> Self {
        Self {
            image: Some(image.to_path_buf()),
            ..Self::empty(name, 0)
        }
    }

    /// One that is this raw image itself: what a machine writes is in it.
    pub fn at(name: &str, image: &Path) -> Self {
        Self {
            itself: true,
            ..Self::copy_of(name, image)
        }
    }

    /// Its logical and physical sector size; 512 unless told.
    #[must_use]
    pub fn sector_size(mut self, bytes: u32) -> Self {
        self.sector = bytes;
        self
    }

    /// A SCSI disk instead of a virtio one. They are numbered by themselves, from 0. In a machine of a [`crate::Lab`] the kernel sees
    /// one when the job says `attach NUMBER`, under the next free name (`/dev/sda`), until `detach`: many jobs of one boot each have
    /// fresh disks under the same names.
    #[must_use]
    pub fn scsi(mut self) -> Self {
        self.scsi = true;
        self
    }

    /// The same disk with what this image has on it.
    #[must_use]
    pub fn with(mut self, image: &Path) -> Self {
        self.image = Some(image.to_path_buf());
        self
    }

    /// The image that it begins with.
    pub fn image(&self) -> Option<&Path> {
        self.image.as_deref()
    }

    /// The size of its sectors in bytes.
    pub fn sector(&self) -> u32 {
        self.sector
    }

    /// Its serial number; its name unless told.
    #[must_use]
    pub fn serial(mut self, serial: &str) -> Self {
        self.serial = Some(serial.to_owned());
        self
    }

    /// The same disk with another name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Its file, in `directory` unless it is one already.
    pub fn make(&self, directory: &Path) -> Result<PathBuf> {
        if let (true, Some(image)) = (self.itself, &self.image) {
            return Ok(image.clone());
        }
        let path = directory.join(format!("{}.raw", self.name));
        if let Some(image) = &self.image {
            // cp keeps the holes.
            packages::run(Command::new("cp").arg("--sparse=always").arg(image).arg(&path))?;
        }
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .doing(path.display())?;
        let size = file.metadata().doing(path.display())?.len().max(self.size);
        file.set_len(size).doing(path.display())?;
        Ok(path)
    }
}

/// When the power of a machine is cut: what the disks got stays, what its kernel had in memory is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// This long after the start of QEMU
    After(Duration),
    /// When this text is on the console or on `/dev/hvc0`
    Line(String),
    /// This long after that
    AfterLine(String, Duration),
}

/// What is done to a machine at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Its power is cut.
    Cut,
    /// QEMU's monitor is sent this command, as JSON.
    Tell(String),
    /// What QEMU has taken of the host's CPU until then goes to [`Job::noted`].
    Note,
}

/// What to boot, with what attached, for how long.
#[derive(Clone, Debug)]
pub struct Machine {
    kernel: PathBuf,
    initrd: Vec<PathBuf>,
    own: Archive,
    script: Option<String>,
    arguments: Vec<String>,
    fw_cfg: Vec<(String, Vec<u8>)>,
    disks: Vec<Disk>,
    memory: u32,
    timeout: Duration,
    cpu: Option<Duration>,
    then: Vec<(Moment, Act)>,
    consoles: usize,
    network: bool,
    more: Vec<String>,
    shell: bool,
    firmware: bool,
    counted: bool,
    processors: u32,
}

impl Machine {
    /// A machine that boots this kernel with this initrd and runs `script` (busybox's shell, with the functions of
    /// `guest/lib`).
    pub fn new(kernel: &Kernel, initrd: &Path, script: &str) -> Self {
        Self {
            kernel: kernel.image.clone(),
            initrd: vec![initrd.to_path_buf()],
            own: Archive::new(),
            script: Some(script.to_owned()),
            arguments: Vec::new(),
            fw_cfg: Vec::new(),
            disks: Vec::new(),
            memory: 1024,
            timeout: Duration::from_secs(300),
            cpu: None,
            then: Vec::new(),
            consoles: 1,
            network: false,
            more: Vec::new(),
            shell: false,
            firmware: false,
            counted: false,
            processors: 1,
        }
    }

    /// A machine that has a system of its own to boot: nothing is added to the archives, and no script runs in them.
    pub fn system(kernel: &Kernel, initrd: &Path) -> Self {
        Self {
            script: None,
            ..Self::new(kernel, initrd, "")
        }
    }

    /// One more archive after those that are there; what it holds replaces what they hold.
    #[must_use]
    pub fn initrd(mut self, archive: &Path) -> Self {
        self.initrd.push(archive.to_path_buf());
        self
    }

    /// A file in the initrd of this machine only.
    #[must_use]
    pub fn file(mut self, path: &str, mode: u32, content: &[u8]) -> Self {
        self.own.add_file(path, mode, content);
        self
    }

    /// An argument on the kernel's command line, after those that all have.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// An entry of the firmware configuration device.
    #[must_use]
    pub fn fw_cfg(mut self, name: &str, content: &[u8]) -> Self {
        self.fw_cfg.push((name.to_owned(), content.to_vec()));
        self
    }

    /// One more disk.
    #[must_use]
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disks.push(disk);
        self
    }

    /// Memory in MiB; 1024 unless told.
    #[must_use]
    pub fn memory(mut self, mebibytes: u32) -> Self {
        self.memory = mebibytes;
        self
    }

    /// After this much time the machine is ended; 5 minutes unless told. Waiting for a turn does not count.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// After this much of the host's CPU time too.
    #[must_use]
    pub fn cpu_limit(mut self, limit: Duration) -> Self {
        self.cpu = Some(limit);
        self
    }

    /// Cuts its power at a moment.
    #[must_use]
    pub fn cut(self, moment: Moment) -> Self {
        self.then(moment, Act::Cut)
    }

    /// Does something to it at a moment.
    #[must_use]
    pub fn then(mut self, moment: Moment, act: Act) -> Self {
        self.then.push((moment, act));
        self
    }

    /// A second console, `hvc1`, whose log is `console2.log`.
    #[must_use]
    pub fn two_consoles(mut self) -> Self {
        self.consoles = 2;
        self
    }

    /// A network card. The host is 10.0.2.2 to it.
    #[must_use]
    pub fn network(mut self) -> Self {
        self.network = true;
        self
    }

    /// More arguments of QEMU.
    #[must_use]
    pub fn more(mut self, arguments: &[&str]) -> Self {
        self.more.extend(arguments.iter().map(|word| (*word).to_owned()));
        self
    }

    /// Its console is the terminal of the harness, and there is no limit of time.
    #[must_use]
    pub fn shell(mut self) -> Self {
        self.shell = true;
        self.argument("vm-tests.shell")
    }

    /// So many processors; each is a thread of the host's. One if not said.
    #[must_use]
    pub fn processors(mut self, count: u32) -> Self {
        self.processors = count;
        self
    }

    /// Its clock counts instructions, one as a nanosecond, and goes on by itself only while it waits: what it takes depends neither on what
    /// else the host does nor on how much of it QEMU has to translate. It is slower.
    #[must_use]
    pub fn counted(mut self) -> Self {
        self.counted = true;
        // The time stamp counter too.
        self.argument("tsc_early_khz=1000000")
    }

    /// It boots from its disks, by the firmware that it is given by [`Self::more`].
    #[must_use]
    pub fn by_firmware(mut self) -> Self {
        self.firmware = true;
        self
    }

    /// The same machine with its power back: its disks begin as copies of what a run of it left.
    #[must_use]
    pub fn again(mut self, disks: &[PathBuf]) -> Self {
        self.then.retain(|(_, act)| *act != Act::Cut);
        for (disk, image) in self.disks.iter_mut().zip(disks) {
            disk.image = Some(image.clone());
        }
        self
    }

    /// The same machine with another job.
    #[must_use]
    pub fn job(mut self, script: &str) -> Self {
        self.script = Some(script.to_owned());
        self
    }

    /// Boots it and waits for its end. Everything of the run is in the directory `runs/NAME` of the store, which is
    /// emptied before.
    pub fn run(self, name: &str) -> Result<Job> {
        let directory = store().join("runs").join(name);
        if directory.exists() {
            std::fs::remove_dir_all(&directory).doing(directory.display())?;
        }
        let out = directory.join("out");
        std::fs::create_dir_all(&out).doing(out.display())?;
        let (mut command, disks) = self.command(&directory)?;
        let log = directory.join("qemu.log");
        let messages = File::create(&log).doing(log.display())?;
        if self.shell {
            command.stdin(Stdio::inherit()).stdout(Stdio::inherit());
        } else {
            let answers = File::create(directory.join("qmp.log"))?;
            command.stdin(Stdio::piped()).stdout(answers);
        }
        command.stderr(messages);

        let _turn = Turn::wait()?;
        let start = Instant::now();
        let mut running = Running::start(&mut command, &directory)?;
        let limits = if self.shell {
            (Duration::MAX, None)
        } else {
            (self.timeout, self.cpu)
        };
        let ended = running.wait(start, limits, &self.then)?;
        let (wall, cpu) = (start.elapsed(), running.cpu);
        let noted = std::mem::take(&mut running.noted);

        // A machine that did not get to its end sent nothing.
        let results = directory.join("out.tar");
        if std::fs::metadata(&results).is_ok_and(|results| results.len() > 0) {
            packages::run(
                Command::new("tar")
                    .arg("-xf")
                    .arg(&results)
                    .arg("-C")
                    .arg(&out)
                    .args(["--no-same-owner", "--no-same-permissions"]),
            )?;
            std::fs::remove_file(&results)?;
        }
        let code = Job::number(&out.join("code"));
        if code == Some(0) {
            // It can be made again, and is most of what a run takes.
            let _gone = std::fs::remove_file(directory.join("initrd"));
        }
        let text = |name: &str| {
            let bytes = std::fs::read(directory.join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\r', "")
        };
        Ok(Job {
            name: name.to_owned(),
            ended,
            code,
            console: text("console.log"),
            console2: text("console2.log"),
            live: text("live.log"),
            qemu: std::fs::read_to_string(&log).unwrap_or_default(),
            wall,
            cpu,
            noted,
            disks,
            directory,
        })
    }

    fn command(&self, directory: &Path) -> Result<(Command, Vec<PathBuf>)> {
        // TCG unless told: /dev/kvm can be there and not work.
        let acceleration =
            std::env::var("VMTEST_ACCEL").unwrap_or_else(|_| "tcg,thread=multi,tb-size=256".to_owned());
        let acceleration = if self.counted {
            "tcg,thread=single,tb-size=256".to_owned()
        } else {
            acceleration
        };
        let mut command = Command::new("qemu-system-x86_64");
        if self.counted {
            command.args(["-icount", "shift=0,sleep=on"]);
        }
        command
            .args(["-accel", &acceleration, "-M", "q35"])
            .args([
                "-cpu",
                "Westmere,+rdrand,-spec-ctrl",
                "-smp",
                &self.processors.to_string(),
            ])
            .args(["-m", &self.memory.to_string()])
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        if !self.firmware {
            let initrd = self.archives(directory)?;
            let mut arguments = vec![ARGUMENTS.to_owned()];
            arguments.extend(clock());
            arguments.extend(self.arguments.iter().cloned());
            command
                .arg("-kernel")
                .arg(&self.kernel)
                .arg("-initrd")
                .arg(initrd)
                .args(["-append", &arguments.join(" ")]);
        }
        let log = option("", &directory.join("console.log"));
        if self.shell {
            command
                .args([
                    "-chardev",
                    &format!("stdio,id=console,mux=on,signal=off,logfile={log}"),
                ])
                .args(["-serial", "chardev:console", "-mon", "console"]);
        } else {
            command.arg("-serial").arg(format!("file:{log}"));
            command.args(["-qmp", "stdio"]);
        }
        command
            // For whoever looks at it while it runs; a socket's path is short.
            .current_dir(directory)
            .args(["-qmp", "unix:qmp.sock,server=on,wait=off"])
            .args(["-device", "virtio-serial-pci", "-chardev"])
            .arg(option("file,id=live,path=", &directory.join("live.log")))
            .args(["-device", "virtconsole,chardev=live", "-chardev"])
            .arg(option("file,id=out,path=", &directory.join("out.tar")))
            .args(["-device", "virtserialport,chardev=out,name=vm-tests.out"]);
        if self.consoles > 1 {
            // Not a second UART: Linux has one console of these. It is hvc1, after the journal's port.
            command
                .arg("-chardev")
                .arg(option("file,id=console2,path=", &directory.join("console2.log")))
                .args(["-device", "virtconsole,chardev=console2"]);
        }
        if self.network {
            command
                .args(["-netdev", "user,id=net0", "-device"])
                .arg("virtio-net-pci,netdev=net0,id=nic0,romfile=");
        }
        command.args(&self.more);
        for (number, (name, content)) in self.fw_cfg.iter().enumerate() {
            let path = directory.join(format!("fw_cfg.{number}"));
            std::fs::write(&path, content).doing(path.display())?;
            command
                .arg("-fw_cfg")
                .arg(option(&format!("name={name},file="), &path));
        }
        let mut disks = Vec::new();
        if self.disks.iter().any(|disk| disk.scsi) {
            command.args(["-device", "virtio-scsi-pci,id=scsi,num_queues=1"]);
        }
        let mut targets = 0..=255;
        for (number, disk) in self.disks.iter().enumerate() {
            let path = disk.make(directory)?;
            let serial = disk.serial.as_ref().unwrap_or(&disk.name);
            let sector = disk.sector;
            command.arg("-drive").arg(option(
                &format!("if=none,id=disk{number},format=raw,cache=unsafe,discard=unmap,file="),
                &path,
            ));
            let device = if disk.scsi {
                let target = targets.next().ok_or("more than 256 SCSI disks")?;
                format!("scsi-hd,bus=scsi.0,scsi-id={target},lun=0")
            } else {
                "virtio-blk-pci".to_owned()
            };
            command.arg("-device").arg(format!(
                "{device},drive=disk{number},serial={serial},logical_block_size={sector},physical_block_size={sector}"
            ));
            disks.push(path);
        }
        Ok((command, disks))
    }

    /// All archives in one file: parts begin at multiples of four bytes, or the kernel does not see them.
    fn archives(&self, directory: &Path) -> Result<PathBuf> {
        let initrd = directory.join("initrd");
        let mut file = File::create(&initrd).doing(initrd.display())?;
        for part in &self.initrd {
            let mut part_file = File::open(part).doing(part.display())?;
            let bytes = std::io::copy(&mut part_file, &mut file).doing(part.display())?;
            let padding = bytes.next_multiple_of(4) - bytes;
            std::io::copy(&mut std::io::repeat(0).take(padding), &mut file).doing(initrd.display())?;
        }
        if let Some(script) = &self.script {
            let mut own = self.own.clone();
            let script = format!(". /job/lib\n[ -e /job/disks ] && . /job/disks\n{script}\n");
            own.add_file("job/run", 0o644, script.as_bytes());
            file.write_all(&own.finish()).doing(initrd.display())?;
        } else if !self.own.is_empty() {
            file.write_all(&self.own.clone().finish())
                .doing(initrd.display())?;
        }
        Ok(initrd)
    }
}

/// An option of QEMU that ends with a path: a comma in it is written twice.
fn option(before: &str, path: &Path) -> String {
    format!("{before}{}", path.display().to_string().replace(',', ",,"))
}

/// TCG's time stamp counter is the host's. On a loaded host a guest measures its rate wrongly, by up to twelve times,
/// and every timeout fires early: it is told.
pub fn clock() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("bogomips"))?;
    let (_, number) = line.split_once(':')?;
    let (whole, part) = number.trim().split_once('.')?;
    let hundredths: u64 = format!("{whole}{:0<2.2}", part).parse().ok()?;
    Some(format!("tsc_early_khz={}", hundredths * 5))
}
