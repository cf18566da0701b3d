//! A machine: what to boot, with what attached, for how long.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::job::{Ended, Job};
use crate::{Archive, Doing as _, Kernel, Result, packages, store};

/// How many machines run at a time, over all processes of this workspace.
const AT_A_TIME: usize = 2;

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
        }
    }

    /// One that begins with a copy of a raw image, and is at least as large.
    pub fn copy_of(name: &str, image: &Path) -> Self {
        Self {
            image: Some(image.to_path_buf()),
            ..Self::empty(name, 0)
        }
    }

    /// Its logical and physical sector size; 512 unless told.
    #[must_use]
    pub fn sector_size(mut self, bytes: u32) -> Self {
        self.sector = bytes;
        self
    }

    fn make(&self, directory: &Path) -> Result<PathBuf> {
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

/// What to boot, with what attached, for how long.
#[derive(Clone, Debug)]
pub struct Machine {
    kernel: PathBuf,
    initrd: Vec<PathBuf>,
    own: Archive,
    script: String,
    arguments: Vec<String>,
    fw_cfg: Vec<(String, Vec<u8>)>,
    disks: Vec<Disk>,
    memory: u32,
    timeout: Duration,
}

impl Machine {
    /// A machine that boots this kernel with this initrd and runs `script` (busybox's shell, with the functions of
    /// `guest/lib`).
    pub fn new(kernel: &Kernel, initrd: &Path, script: &str) -> Self {
        Self {
            kernel: kernel.image.clone(),
            initrd: vec![initrd.to_path_buf()],
            own: Archive::new(),
            script: script.to_owned(),
            arguments: Vec::new(),
            fw_cfg: Vec::new(),
            disks: Vec::new(),
            memory: 1024,
            timeout: Duration::from_secs(300),
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
        command
            .stdin(Stdio::null())
            .stdout(messages.try_clone()?)
            .stderr(messages);

        let _turn = Turn::wait()?;
        let start = Instant::now();
        let mut running = Running(command.spawn().doing("qemu-system-x86_64")?);
        let ended = running.wait(start + self.timeout)?;
        let wall = start.elapsed();

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
        let console = std::fs::read(directory.join("console.log")).unwrap_or_default();
        Ok(Job {
            name: name.to_owned(),
            ended,
            code: Job::number(&out.join("code")),
            console: String::from_utf8_lossy(&console).replace('\r', ""),
            qemu: std::fs::read_to_string(&log).unwrap_or_default(),
            wall,
            disks,
            directory,
        })
    }

    fn command(&self, directory: &Path) -> Result<(Command, Vec<PathBuf>)> {
        let initrd = directory.join("initrd");
        let mut file = File::create(&initrd).doing(initrd.display())?;
        for part in &self.initrd {
            let mut part_file = File::open(part).doing(part.display())?;
            std::io::copy(&mut part_file, &mut file).doing(part.display())?;
        }
        let mut own = self.own.clone();
        let script = format!(". /job/lib\n{}\n", self.script);
        own.add_file("job/run", 0o644, script.as_bytes());
        std::io::Write::write_all(&mut file, &own.finish()).doing(initrd.display())?;

        // TCG unless told: /dev/kvm can be there and not work.
        let acceleration =
            std::env::var("VMTEST_ACCEL").unwrap_or_else(|_| "tcg,thread=multi,tb-size=256".to_owned());
        let mut arguments = vec![ARGUMENTS.to_owned()];
        arguments.extend(clock());
        arguments.extend(self.arguments.iter().cloned());

        let mut command = Command::new("qemu-system-x86_64");
        command
            .args(["-accel", &acceleration, "-M", "q35"])
            .args(["-cpu", "Westmere,+rdrand,-spec-ctrl", "-smp", "1"])
            .args(["-m", &self.memory.to_string()])
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
            .arg("-kernel")
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(&initrd)
            .args(["-append", &arguments.join(" ")])
            .arg("-serial")
            .arg(option("file:", &directory.join("console.log")))
            .args(["-device", "virtio-serial-pci", "-chardev"])
            .arg(option("file,id=out,path=", &directory.join("out.tar")))
            .args(["-device", "virtserialport,chardev=out,name=vm-tests.out"]);
        for (number, (name, content)) in self.fw_cfg.iter().enumerate() {
            let path = directory.join(format!("fw_cfg.{number}"));
            std::fs::write(&path, content).doing(path.display())?;
            command
                .arg("-fw_cfg")
                .arg(option(&format!("name={name},file="), &path));
        }
        let mut disks = Vec::new();
        for (number, disk) in self.disks.iter().enumerate() {
            let path = disk.make(directory)?;
            let (name, sector) = (&disk.name, disk.sector);
            command.arg("-drive").arg(option(
                &format!("if=none,id=disk{number},format=raw,cache=unsafe,discard=unmap,file="),
                &path,
            ));
            command.arg("-device").arg(format!(
                "virtio-blk-pci,drive=disk{number},serial={name},logical_block_size={sector},physical_block_size={sector}"
            ));
            disks.push(path);
        }
        Ok((command, disks))
    }
}

/// An option of QEMU that ends with a path: a comma in it is written twice.
fn option(before: &str, path: &Path) -> String {
    format!("{before}{}", path.display().to_string().replace(',', ",,"))
}

/// TCG's time stamp counter is the host's. On a loaded host a guest measures its rate wrongly, by up to twelve times,
/// and every timeout fires early: it is told.
fn clock() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("bogomips"))?;
    let (_, number) = line.split_once(':')?;
    let (whole, part) = number.trim().split_once('.')?;
    let hundredths: u64 = format!("{whole}{:0<2.2}", part).parse().ok()?;
    Some(format!("tsc_early_khz={}", hundredths * 5))
}

/// A machine that runs. It ends with the harness.
struct Running(Child);

impl Running {
    fn wait(&mut self, end: Instant) -> Result<Ended> {
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(if status.success() {
                    Ended::ByItself
                } else {
                    Ended::QemuFailed
                });
            }
            if Instant::now() > end {
                return Ok(Ended::TookTooLong);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// The right to run a machine: a lock that goes with the file, even when the process is killed.
struct Turn {
    _lock: File,
}

impl Turn {
    fn wait() -> Result<Self> {
        let directory = store();
        std::fs::create_dir_all(&directory).doing(directory.display())?;
        loop {
            for number in 0..AT_A_TIME {
                let path = directory.join(format!("turn.{number}"));
                let file = File::options()
                    .write(true)
                    .create(true)
                    .truncate(false)
                    .open(&path)
                    .doing(path.display())?;
                if file.try_lock().is_ok() {
                    return Ok(Self { _lock: file });
                }
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
