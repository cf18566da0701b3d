//! Images and loop devices, and the tools that look at them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use ignition_rs::gpt::{ReadAt, Scan, Table, Write, scan};
use tempfile::TempDir;

use crate::support::programs::{Program, Ran, have, privileged};

/// A sparse file, or a loop device on one.
#[derive(Debug)]
pub(crate) struct Disk {
    _scratch: TempDir,
    image: PathBuf,
    device: Option<PathBuf>,
    sector_size: u32,
}

fn scratch() -> TempDir {
    let shm = Path::new("/dev/shm");
    let home = if shm.is_dir() {
        shm.to_owned()
    } else {
        std::env::temp_dir()
    };
    tempfile::Builder::new()
        .prefix("ignition-gpt-")
        .tempdir_in(home)
        .unwrap()
}

impl Disk {
    /// An image of 512-byte sectors.
    pub(crate) fn new(sectors: u64) -> Self {
        let scratch = scratch();
        let image = scratch.path().join("disk");
        File::create(&image).unwrap().set_len(sectors * 512).unwrap();
        Self {
            _scratch: scratch,
            image,
            device: None,
            sector_size: 512,
        }
    }

    /// A loop device; `None` where there is none to be had.
    pub(crate) fn on_loop(sectors: u64, sector_size: u32, partitions: bool) -> Option<Self> {
        if !privileged() || !have("losetup") {
            return None;
        }
        let mut disk = Self::new(sectors * u64::from(sector_size) / 512);
        disk.sector_size = sector_size;
        let mut program = Program::new("losetup").args(["--find", "--show", "-b", &sector_size.to_string()]);
        if partitions {
            program = program.arg("-P");
        }
        let ran = program.arg(&disk.image).run();
        ran.expect_code(0);
        disk.device = Some(ran.stdout.trim().into());
        Some(disk)
    }

    /// What tools are given.
    pub(crate) fn path(&self) -> &Path {
        self.device.as_deref().unwrap_or(&self.image)
    }

    /// The disk grows or shrinks; images only.
    pub(crate) fn resize(&self, sectors: u64) {
        assert!(self.device.is_none());
        OpenOptions::new()
            .write(true)
            .open(&self.image)
            .unwrap()
            .set_len(sectors * 512)
            .unwrap();
    }

    pub(crate) fn read(&self, offset: u64, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        self.read_at(offset, &mut bytes).unwrap();
        bytes
    }

    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) {
        OpenOptions::new()
            .write(true)
            .open(self.path())
            .unwrap()
            .write_all_at(bytes, offset)
            .unwrap();
    }

    pub(crate) fn apply(&self, writes: &[Write]) {
        for write in writes {
            self.write(write.offset, &write.bytes);
        }
    }

    /// The parts of a disk that tables stand in, to put back later.
    pub(crate) fn ends(&self) -> Vec<(u64, Vec<u8>)> {
        let (size, part) = (self.size(), 2 << 20);
        let last = size.saturating_sub(part);
        let length = usize::try_from(part.min(size)).unwrap();
        vec![(0, self.read(0, length)), (last, self.read(last, length))]
    }

    pub(crate) fn restore(&self, ends: &[(u64, Vec<u8>)]) {
        for (offset, bytes) in ends {
            self.write(*offset, bytes);
        }
    }

    pub(crate) fn scan(&self) -> Scan {
        scan(self).unwrap()
    }

    #[track_caller]
    pub(crate) fn table(&self) -> Table {
        let scan = self.scan();
        scan.table().unwrap_or_else(|| panic!("{scan:?}")).clone()
    }

    pub(crate) fn sgdisk<S: AsRef<str>>(&self, args: &[S]) -> Ran {
        sgdisk(args, Some(self.path()))
    }

    /// Fails unless sgdisk and sfdisk have nothing to say about the table.
    #[track_caller]
    pub(crate) fn verify(&self) {
        let ran = self.sgdisk(&["-v"]);
        assert!(ran.output().contains("No problems found"), "{ran}");
        assert!(!ran.output().contains("Warning!"), "{ran}");
        // sfdisk warns of partitions out of order only by a message.
        Program::new("sfdisk")
            .args(["--verify", "-q"])
            .arg(self.path())
            .run()
            .expect_code(0);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(device) = &self.device {
            let _ = Command::new("losetup").arg("-d").arg(device).status();
        }
    }
}

impl ReadAt for Disk {
    fn size(&self) -> u64 {
        use std::io::Seek as _;
        File::open(self.path())
            .unwrap()
            .seek(io::SeekFrom::End(0))
            .unwrap()
    }

    fn sector_size(&self) -> u32 {
        self.sector_size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        File::open(self.path())?.read_exact_at(buffer, offset)
    }
}

/// sgdisk syncs all disks and sleeps when it has written: half a second a run, for nothing on an image.
fn stub() -> Option<&'static Path> {
    static STUB: OnceLock<Option<(TempDir, PathBuf)>> = OnceLock::new();
    let made = STUB.get_or_init(|| {
        let scratch = tempfile::tempdir().unwrap();
        let (source, library) = (scratch.path().join("stub.c"), scratch.path().join("stub.so"));
        let text = "unsigned sleep(unsigned s) { return s * 0; }\nvoid sync(void) {}\nint fsync(int f) { return f * 0; }\n";
        std::fs::write(&source, text).unwrap();
        let ran = Program::new("gcc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).run();
        (ran.code == Some(0)).then_some((scratch, library))
    });
    made.as_ref().map(|(_, library)| library.as_path())
}

/// `sgdisk ARGS [DEVICE]`
pub(crate) fn sgdisk<S: AsRef<str>>(args: &[S], device: Option<&Path>) -> Ran {
    let mut program = Program::new("sgdisk").args(args.iter().map(AsRef::as_ref));
    if let Some(device) = device {
        program = program.arg(device);
    }
    if let Some(stub) = stub() {
        program = program.env("LD_PRELOAD", stub);
    }
    program.run()
}

/// Whether the tools are there.
pub(crate) fn ready() -> bool {
    have("sgdisk") && have("sfdisk") && have("gcc")
}
