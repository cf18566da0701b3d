//! By how much the dracut module makes an initrd larger: Debian's dracut makes one with it and one without, all else alike. What is in the
//! first and not in the second is compressed as in an initrd, part by part, and must stay within `.ci/initrd-budget`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::job::must;
use crate::{Archive, Doing as _, Kernel, Result, packages, scene, tools, workspace};

/// A generic initrd of a distribution. What needs programs of packages that are not in the tree is left out of both.
const OPTIONS: &str = "--compress cat --omit shutdown";

const BUDGET: &str = ".ci/initrd-budget";

/// What an initrd consists of: type and permissions, and content, by path.
type Content = BTreeMap<String, (u32, Vec<u8>)>;

const KIND: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

/// The parts of what the module adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Binary,
    Own,
    Kernel,
    Others,
}

impl Part {
    const ALL: [Self; 4] = [Self::Binary, Self::Own, Self::Kernel, Self::Others];

    fn name(self) -> &'static str {
        match self {
            Self::Binary => "the binary",
            Self::Own => "units, scripts, links",
            Self::Kernel => "kernel modules",
            Self::Others => "programs, libraries",
        }
    }
}

/// Makes both initrds and prints what the module adds; an error if that is more than the budget. With `VMTEST_WHOLE=1` both are compressed
/// too, and the Go program, which takes minutes.
pub fn run(store: &Path, kernel: &Kernel, binary: &Path) -> Result<()> {
    let budget = workspace().join(BUDGET);
    let text = std::fs::read_to_string(&budget).doing(budget.display())?;
    let budget = Budget::read(&text).doing(BUDGET)?;
    packages::install_for_scenarios()?;
    let work = store.join(format!("size.{}", std::process::id()));
    std::fs::create_dir_all(&work).doing(work.display())?;
    let measured = measure(store, kernel, binary, &work);
    std::fs::remove_dir_all(&work).doing(work.display())?;
    let (wholes, parts) = measured?;
    println!("{:<24} {:>12} {:>12}", "initrd, bytes", "as it is", "zstd -19");
    for (name, (raw, packed)) in wholes {
        let packed = packed.map_or_else(String::new, |packed| packed.to_string());
        println!("{name:<24} {raw:>12} {packed:>12}");
    }
    print!("{}", table(&parts));
    budget.check(&parts)
}

/// Bytes: as it is, compressed
type Size = (u64, u64);
type Whole = (&'static str, (u64, Option<u64>));

fn measure(
    store: &Path,
    kernel: &Kernel,
    binary: &Path,
    work: &Path,
) -> Result<(Vec<Whole>, BTreeMap<Part, Size>)> {
    let tree = scene::tree(store, kernel, work)?;
    let module = workspace().join("dracut/53ignition");
    let modules = tree.join("usr/lib/dracut/modules.d");
    packages::run(
        Command::new("cp")
            .arg("-a")
            .arg(&module)
            .arg(modules.join("53ignition")),
    )?;
    packages::run(
        Command::new("strip")
            .arg("-o")
            .arg(tree.join("usr/bin/ignition-rs"))
            .arg(binary),
    )?;
    let make = |name: &str, more: &str| -> Result<PathBuf> {
        let out = work.join(name);
        let arguments: Vec<&str> = OPTIONS.split(' ').chain(more.split_whitespace()).collect();
        scene::dracut(&tree, &kernel.release, &out, &arguments)?;
        Ok(out)
    };
    // Each in mounts of its own
    let (without, with) = std::thread::scope(|scope| {
        let other = scope.spawn(|| make("without", ""));
        let with = make("with", "--add ignition");
        (other.join(), with)
    });
    let (without, with) = (without.map_err(|_| "a thread has panicked")??, with?);
    let is_asked = std::env::var("VMTEST_WHOLE").as_deref() == Ok("1");
    let whole = |name, path: &Path| -> Result<Whole> {
        let raw = std::fs::metadata(path).doing(path.display())?.len();
        Ok((name, (raw, is_asked.then(|| packed(path, work)).transpose()?)))
    };
    let mut wholes = vec![whole("without the module", &without)?, whole("with it", &with)?];
    if is_asked {
        wholes.push(whole("(Ignition 2.14's binary)", &tools::peer(store)?)?);
    }
    let before = read(&std::fs::read(&without)?).doing(without.display())?;
    let after = read(&std::fs::read(&with)?).doing(with.display())?;
    let mut parts = BTreeMap::new();
    for (part, content) in split(added(&before, &after), &ours(&module)?) {
        parts.insert(part, size(&content, work)?);
    }
    must(
        parts.get(&Part::Binary).is_some_and(|(raw, _)| *raw > 1 << 20),
        "the binary is not in the initrd",
    )?;
    Ok((wholes, parts))
}

/// What the module's own files are.
fn ours(module: &Path) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(module).doing(module.display())? {
        found.push(std::fs::read(entry?.path())?);
    }
    Ok(found)
}

/// An archive as the kernel reads it ("newc"), without its directories.
fn read(bytes: &[u8]) -> Result<Content> {
    let mut content = Content::new();
    let mut at = 0_usize;
    loop {
        let field = |number: usize| -> Result<usize> {
            let begin = at + 6 + 8 * number;
            let digits = bytes.get(begin..begin + 8).ok_or("it ends too early")?;
            Ok(usize::from_str_radix(std::str::from_utf8(digits)?, 16)?)
        };
        let magic = bytes.get(at..at + 6).ok_or("it ends too early")?;
        must(magic.starts_with(b"07070"), format!("no entry at {at}"))?;
        let (mode, size, name_size) = (field(1)?, field(6)?, field(11)?);
        let name = bytes
            .get(at + 110..at + 110 + name_size.saturating_sub(1))
            .ok_or("it ends too early")?;
        let name = String::from_utf8_lossy(name).trim_start_matches("./").to_owned();
        let begin = (at + 110 + name_size).next_multiple_of(4);
        let data = bytes.get(begin..begin + size).ok_or("it ends too early")?;
        if name == "TRAILER!!!" {
            return Ok(content);
        }
        let mode = u32::try_from(mode)?;
        if mode & KIND != DIRECTORY {
            content.insert(name, (mode, data.to_vec()));
        }
        at = (begin + size).next_multiple_of(4);
    }
}

/// What is there after and was not before.
fn added(before: &Content, after: &Content) -> Content {
    let new = after
        .iter()
        .filter(|(path, entry)| before.get(*path) != Some(*entry));
    new.map(|(path, entry)| (path.clone(), entry.clone())).collect()
}

fn split(content: Content, ours: &[Vec<u8>]) -> BTreeMap<Part, Content> {
    let mut parts = BTreeMap::<Part, Content>::new();
    for (path, entry) in content {
        let part = if path == "usr/bin/ignition" {
            Part::Binary
        } else if entry.0 & KIND == LINK || ours.contains(&entry.1) {
            Part::Own
        } else if path.contains("lib/modules/") {
            Part::Kernel
        } else {
            Part::Others
        };
        parts.entry(part).or_default().insert(path, entry);
    }
    parts
}

/// Files and links as one archive.
fn size(content: &Content, work: &Path) -> Result<Size> {
    let mut archive = Archive::new();
    let mut raw = 0;
    for (path, (mode, bytes)) in content {
        raw += bytes.len() as u64;
        if mode & KIND == LINK {
            archive.add_link(path, &String::from_utf8_lossy(bytes));
        } else {
            archive.add_file(path, mode & 0o7777, bytes);
        }
    }
    let file = work.join("part");
    std::fs::write(&file, archive.finish()).doing(file.display())?;
    Ok((raw, packed(&file, work)?))
}

fn packed(path: &Path, work: &Path) -> Result<u64> {
    let packed = work.join("packed.zst");
    let status = Command::new("zstd")
        .args(["-q", "-19", "-f", "-o"])
        .arg(&packed)
        .arg(path)
        .stdin(Stdio::null())
        .status()
        .doing("zstd")?;
    must(status.success(), "zstd has failed")?;
    Ok(File::open(&packed)?.metadata()?.len())
}

fn sum(parts: &BTreeMap<Part, Size>, which: &[Part]) -> Size {
    let of = |part: &Part| parts.get(part).copied().unwrap_or_default();
    which
        .iter()
        .map(of)
        .fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1))
}

fn table(parts: &BTreeMap<Part, Size>) -> String {
    let mut text = String::new();
    let (raw, all) = sum(parts, &Part::ALL);
    let mut row = |name: &str, (raw, packed): Size| {
        let share = packed * 100 / all.max(1);
        let _ = writeln!(text, "{name:<24} {raw:>12} {packed:>12} {share:>4} %");
    };
    row("the module adds", (raw, all));
    for part in Part::ALL {
        row(&format!("  {}", part.name()), sum(parts, &[part]));
    }
    text
}

/// How many bytes, compressed, it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Budget {
    /// The binary, units and scripts: what this repository makes
    own: u64,
    /// All that the module adds
    all: u64,
}

impl Budget {
    /// Lines `own BYTES` and `all BYTES`, in any order; `#` begins a comment.
    fn read(text: &str) -> Result<Self> {
        let (mut own, mut all) = (None, None);
        for line in text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        {
            let place = match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                ["own", bytes] => (&mut own, bytes.parse().doing(line)?),
                ["all", bytes] => (&mut all, bytes.parse().doing(line)?),
                _ => return Err(format!("a strange line: {line}").into()),
            };
            must(place.0.replace(place.1).is_none(), format!("twice: {line}"))?;
        }
        Ok(Self {
            own: own.ok_or("no line 'own BYTES'")?,
            all: all.ok_or("no line 'all BYTES'")?,
        })
    }

    fn check(self, parts: &BTreeMap<Part, Size>) -> Result<()> {
        let mut over = String::new();
        let sums = [
            ("own", self.own, sum(parts, &[Part::Binary, Part::Own]).1),
            ("all", self.all, sum(parts, &Part::ALL).1),
        ];
        for (name, most, is) in sums {
            if is > most {
                let _ = write!(
                    over,
                    "; {name}: {is} bytes, {} more than the {most} of {BUDGET}",
                    is - most
                );
            }
        }
        must(
            over.is_empty(),
            format!("the module makes the initrd too large{over}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, &str)]) -> Content {
        let mut archive = Archive::new();
        for (path, text) in files {
            archive.add_file(path, 0o644, text.as_bytes());
        }
        archive.add_link("usr/bin/link", "target");
        read(&archive.finish()).unwrap()
    }

    #[test]
    fn what_is_new_or_another_is_added() {
        let before = archive(&[("etc/a", "same"), ("etc/b", "old"), ("etc/gone", "x")]);
        let after = archive(&[
            ("etc/a", "same"),
            ("etc/b", "new, longer"),
            ("usr/bin/ignition", "program"),
        ]);
        assert_eq!(before.get("usr/bin/link").unwrap().1, b"target");
        let new = added(&before, &after);
        let names: Vec<&str> = new.keys().map(String::as_str).collect();
        assert_eq!(names, ["etc/b", "usr/bin/ignition"]);
        assert!(read(b"070701 and no more").is_err());
        assert!(read(&[b'x'; 200]).is_err());
    }

    #[test]
    fn each_file_is_in_one_part() {
        let content = archive(&[
            ("usr/bin/ignition", "program"),
            ("usr/lib/systemd/system/x.service", "ours"),
            ("usr/lib/modules/6/kernel/x.ko", "module"),
            ("usr/sbin/mkfs.xfs", "mkfs"),
        ]);
        let parts = split(content, &[b"ours".to_vec()]);
        let names = |part| parts.get(&part).unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(Part::Binary), ["usr/bin/ignition"]);
        assert_eq!(
            names(Part::Own),
            ["usr/bin/link", "usr/lib/systemd/system/x.service"]
        );
        assert_eq!(names(Part::Kernel), ["usr/lib/modules/6/kernel/x.ko"]);
        assert_eq!(names(Part::Others), ["usr/sbin/mkfs.xfs"]);
    }

    #[test]
    fn a_budget_is_kept() {
        let budget = Budget::read("# why\nall 1000\n\nown 300\n").unwrap();
        assert_eq!(budget, Budget { own: 300, all: 1000 });
        let parts = |binary, own, others| {
            BTreeMap::from([
                (Part::Binary, (0, binary)),
                (Part::Own, (0, own)),
                (Part::Others, (0, others)),
            ])
        };
        budget.check(&parts(200, 100, 700)).unwrap();
        let said = budget.check(&parts(200, 101, 600)).unwrap_err().to_string();
        assert!(
            said.contains("own: 301 bytes, 1 more") && !said.contains("all"),
            "{said}"
        );
        let said = budget.check(&parts(200, 100, 705)).unwrap_err().to_string();
        assert!(
            said.contains("all: 1005 bytes, 5 more") && !said.contains("own"),
            "{said}"
        );
    }

    #[test]
    fn a_budget_must_be_whole() {
        for text in [
            "",
            "own 1",
            "all 1",
            "own 1\nall x",
            "own 1\nown 1\nall 1",
            "own 1\nall 1\nmore 1",
            "own 1 2\nall 1",
        ] {
            assert!(Budget::read(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_file_is_one() {
        let text = std::fs::read_to_string(workspace().join(BUDGET)).unwrap();
        let budget = Budget::read(&text).unwrap();
        assert!(budget.own < budget.all);
    }
}
