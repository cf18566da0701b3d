//! The progress record on ROOT: what an unfinished run was about to do and has done (design.md 3).
//!
//! One line per fact, appended; a torn last line counts for nothing. Paths and names are percent-encoded, so that a
//! line is always a line:
//!
//! ```text
//! mount-directory /srv               made by the mount stage; before or after the next line
//! ignition-rs progress 1 <sha512 of the config>
//! file /etc/hostname                 about to be written
//! directory /srv/www                 about to be made
//! new-file /etc/motd                 an entry of the config, and nothing is there
//! new-directory /srv/www/data        likewise
//! user caddy                         about to be created
//! group docker                       about to be created
//! placing /etc/motd <sha512>         composed, moved to its place next
//! appending /etc/hosts <sha512> 20   likewise; its first 20 bytes were there before
//! made-user caddy                    created
//! made-group docker                  created
//! finished                           all is done; the initrd has not been left
//! ```

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use crate::PROGRESS_PATH;
use crate::config::grammar::hex::hex_digit;
use crate::plan::{Action, Change, Plan, Step};
use crate::stages::{Phase, Progress};
use crate::sys::sysroot::{AppendFile, Sysroot, SysrootError};
use crate::view::{Digest, RootPath};

const HEADER: &str = "ignition-rs progress 1 ";

/// Of the mount stage, which begins no run: its lines stand without a header, too.
const MOUNT_DIRECTORY: &str = "mount-directory";

/// The last line of a run that is done, while its boot may still be cut off or fail: the flag of the first boot is there until
/// the initrd is left, so the run may be asked for again.
const FINISHED: &str = "finished";

/// Larger than the record of a config with 100,000 files.
const RECORD_MAX: u64 = 64 << 20;

/// Reads what an unfinished run left. A file of another form counts as no record.
pub fn read(root: &Sysroot) -> Result<Progress, SysrootError> {
    let path = RootPath::from(PROGRESS_PATH);
    match root.node(&path)? {
        Some(node) if node.is_file() => Ok(parse(&root.read(&path, RECORD_MAX)?.unwrap_or_default())),
        _ => Ok(Progress::default()),
    }
}

/// Reads a record.
pub fn parse(bytes: &[u8]) -> Progress {
    let mut progress = Progress::default();
    let text = String::from_utf8_lossy(bytes);
    for line in text
        .split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'))
    {
        if let Some(config) = line.strip_prefix(HEADER) {
            // A re-run with another config continues the record under a header of its own.
            if let Some(config) = Digest::from_hex(config) {
                progress.set_aside();
                progress.config = Some(config);
                progress.finished = false;
            }
            continue;
        }
        let words = line.split(' ').collect::<Vec<_>>();
        if let [MOUNT_DIRECTORY, path] = words.as_slice() {
            progress.mount_directories.insert(decode_path(path));
            continue;
        }
        if progress.config.is_none() {
            return Progress::default();
        }
        progress.finished = line == FINISHED;
        match words.as_slice() {
            ["file", path] => {
                progress.files.entry(decode_path(path)).or_default();
            }
            ["directory", path] => {
                progress.directories.insert(decode_path(path));
            }
            ["new-file", path] => {
                progress.files.entry(decode_path(path)).or_default();
                progress.made.insert(decode_path(path));
            }
            ["new-directory", path] => {
                progress.directories.insert(decode_path(path));
                progress.made.insert(decode_path(path));
            }
            ["placing", path, digest] => {
                if let Some(digest) = Digest::from_hex(digest) {
                    progress.files.entry(decode_path(path)).or_default().push(digest);
                }
            }
            ["appending", path, digest, kept] => {
                if let (Some(digest), Ok(kept)) = (Digest::from_hex(digest), kept.parse()) {
                    let path = decode_path(path);
                    progress.files.entry(path.clone()).or_default().push(digest);
                    progress.appended.entry(path).or_default().push((digest, kept));
                }
            }
            ["user", name] => {
                progress
                    .users_begun
                    .insert(decode(name).to_string_lossy().into_owned());
            }
            ["made-user", name] => {
                progress
                    .users_begun
                    .remove(decode(name).to_string_lossy().as_ref());
            }
            ["group", name] => {
                progress
                    .groups_begun
                    .insert(decode(name).to_string_lossy().into_owned());
            }
            ["made-group", name] => {
                progress
                    .groups_begun
                    .remove(decode(name).to_string_lossy().as_ref());
            }
            _ => {}
        }
    }
    progress
}

/// Writes the record of this run.
#[derive(Debug)]
pub struct Record<'a> {
    root: &'a Sysroot,
    config: Digest,
    /// Whether this stage keeps a record at all
    kept: bool,
    /// Opened when the first step that counts begins
    file: Option<AppendFile>,
    /// What an earlier attempt recorded, once the file is open
    before: Progress,
}

impl<'a> Record<'a> {
    /// The record of the files stage. Nothing is written before the first step.
    pub fn new(root: &'a Sysroot, config: Digest) -> Self {
        Self {
            root,
            config,
            kept: true,
            file: None,
            before: Progress::default(),
        }
    }

    /// For stages that plan from what is there and need no record.
    pub fn none(root: &'a Sysroot) -> Self {
        Self {
            root,
            config: Digest([0; 64]),
            kept: false,
            file: None,
            before: Progress::default(),
        }
    }

    /// Records what a plan is about to do, durably, before its first step.
    pub(super) fn begin(&mut self, plan: &Plan) -> Result<(), SysrootError> {
        if !self.kept {
            return Ok(());
        }
        self.open()?;
        // Repeated at every attempt, they would fill the disk of a machine that tries again and again.
        let known = |step: &&Step| known(step, &self.before);
        let steps = plan.steps.iter().filter(|step| !known(step));
        let lines: String = steps.filter_map(|step| line(step, plan.phase)).collect();
        self.add(&lines, true)
    }

    /// Records the bytes that a file is about to have; of one that is appended to also how many were there before, durably.
    pub(super) fn placing(
        &mut self,
        path: &RootPath,
        digest: Digest,
        kept: Option<u64>,
    ) -> Result<(), SysrootError> {
        let path = encode(path.as_os_str());
        match kept {
            None => self.add(&format!("placing {path} {digest}\n"), false),
            Some(kept) => self.add(&format!("appending {path} {digest} {kept}\n"), true),
        }
    }

    /// Records that a user is whole. Durable, as what the tools write is: were it lost, the user would be made anew
    /// without what later steps gave it.
    pub(super) fn user_done(&mut self, name: &str) -> Result<(), SysrootError> {
        self.add(&format!("made-user {}\n", encode(OsStr::new(name))), true)
    }

    /// Records that a group is whole, likewise.
    pub(super) fn group_done(&mut self, name: &str) -> Result<(), SysrootError> {
        self.add(&format!("made-group {}\n", encode(OsStr::new(name))), true)
    }

    /// The run has succeeded; what it did must be durable before. The record goes, unless a later stage will remove it
    /// ([`forget`]) when nothing can ask for this run again.
    pub fn finish(mut self, until_the_initrd_is_left: bool) -> Result<(), SysrootError> {
        if !self.kept || self.root.node(&RootPath::from(PROGRESS_PATH))?.is_none() {
            return Ok(());
        }
        if until_the_initrd_is_left {
            return self.add(&format!("{FINISHED}\n"), true);
        }
        forget(self.root)
    }

    fn add(&mut self, lines: &str, durable: bool) -> Result<(), SysrootError> {
        if !self.kept {
            return Ok(());
        }
        let file = self.open()?;
        file.append(lines.as_bytes(), durable)
    }

    fn open(&mut self) -> Result<&mut AppendFile, SysrootError> {
        let path = RootPath::from(PROGRESS_PATH);
        Ok(match &mut self.file {
            Some(file) => file,
            closed => {
                let mut file = open(self.root)?;
                // A record of an earlier attempt goes on, unless it is of another config.
                self.before = parse(&self.root.read(&path, RECORD_MAX)?.unwrap_or_default());
                if self.before.config != Some(self.config) {
                    file.append(format!("{HEADER}{}\n", self.config).as_bytes(), false)?;
                }
                closed.insert(file)
            }
        })
    }
}

/// Removes the record: of a run that is done ([`Progress::finished`]).
pub fn forget(root: &Sysroot) -> Result<(), SysrootError> {
    root.remove_tree(&RootPath::from(PROGRESS_PATH))?;
    root.sync_directory(&RootPath::root())
}

/// Records, durably, directories that the mount stage is about to make. Its state is gone with the boot; should a later
/// stage fail, the next attempt finds them and must know whose they are.
pub fn note_mount_directories(root: &Sysroot, directories: &[String]) -> Result<(), SysrootError> {
    let encoded = directories
        .iter()
        .map(|path| format!("{MOUNT_DIRECTORY} {}\n", encode(OsStr::new(path))));
    let mut file = open(root)?;
    file.append(encoded.collect::<String>().as_bytes(), true)
}

/// Opens the record to add to it. A last line that a power cut tore becomes one that says nothing.
fn open(root: &Sysroot) -> Result<AppendFile, SysrootError> {
    let path = RootPath::from(PROGRESS_PATH);
    let mut file = root.open_append(&path)?;
    let there = root.read(&path, RECORD_MAX)?.unwrap_or_default();
    if !there.is_empty() && !there.ends_with(b"\n") {
        file.append(b" torn torn torn\n", false)?;
    }
    Ok(file)
}

/// Whether all that a re-run must know about a step is recorded.
fn known(step: &Step, before: &Progress) -> bool {
    match &step.action {
        Action::WriteFile { path, .. }
        | Action::MakeSymlink { path, .. }
        | Action::MakeHardLink { path, .. } => before.intends(path),
        Action::MakeDirectory { path, .. } => before.directories.contains(path),
        Action::CreateUser(user) => before.users_begun.contains(&user.name),
        Action::CreateGroup(group) => before.groups_begun.contains(&group.name),
        _ => false,
    }
}

/// What a re-run must know about a step before it begins.
fn line(step: &Step, phase: Phase) -> Option<String> {
    if matches!(step.change, Change::Keep { .. } | Change::Unknown { .. }) {
        return None;
    }
    // Of what other phases make, the entries of this one change a part only: a home, a unit's directory.
    let new = match step.change {
        Change::Create if phase == Phase::Nodes => "new-",
        _ => "",
    };
    match &step.action {
        Action::WriteFile { path, .. }
        | Action::MakeSymlink { path, .. }
        | Action::MakeHardLink { path, .. } => Some(format!("{new}file {}\n", encode(path.as_os_str()))),
        Action::MakeDirectory { path, .. } => Some(format!("{new}directory {}\n", encode(path.as_os_str()))),
        Action::CreateUser(user) => Some(format!("user {}\n", encode(OsStr::new(&user.name)))),
        Action::CreateGroup(group) => Some(format!("group {}\n", encode(OsStr::new(&group.name)))),
        // These are planned from what is there, and come out the same.
        Action::FetchConfig { .. }
        | Action::WriteHostFile { .. }
        | Action::ModifyGroup(_)
        | Action::DeleteGroup { .. }
        | Action::AdoptGroup { .. }
        | Action::AdoptUser { .. }
        | Action::ModifyUser(_)
        | Action::DeleteUser { .. }
        | Action::SetPassword { .. }
        | Action::Remove { .. }
        | Action::SetAccess { .. }
        | Action::DisableUnit { .. }
        | Action::Device(_) => None,
    }
}

/// Percent-encodes everything but visible ASCII.
fn encode(text: &OsStr) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.as_bytes() {
        if byte.is_ascii_graphic() && *byte != b'%' {
            encoded.push(char::from(*byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02x}");
        }
    }
    encoded
}

fn decode_path(text: &str) -> RootPath {
    RootPath::clean(decode(text))
}

fn decode(text: &str) -> OsString {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || rest.next().and_then(hex_digit);
            let value = digit().and_then(|high| digit().map(|low| high << 4 | low));
            bytes.push(value.unwrap_or(b'?'));
        } else {
            bytes.push(byte);
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torn_and_foreign_records() {
        let config = Digest::of(b"config");
        let made = Digest::of(b"made");
        let whole = format!(
            "mount-directory /m%20n\n{HEADER}{config}\nnew-file /n\nnew-directory /n2\nfile /a%20b\ndirectory /d/e\nuser x\nuser y\nmade-user x\ngroup g\ngroup h\nmade-group g\nplacing /c {made}\nappending /c {made} 12\nplacing /a%20b {}",
            &made.to_string().split_off(88)
        );
        let progress = parse(whole.as_bytes());
        assert_eq!(progress.config, Some(config));
        assert!(progress.intends(&"/a b".into()) && !progress.made(&"/a b".into()));
        assert!(progress.intends(&"/n".into()) && progress.made(&"/n".into()));
        assert!(progress.directories.contains(&"/n2".into()) && progress.made(&"/n2".into()));
        assert_eq!(progress.mount_directories, ["/m n".into()].into());
        for (more, finished) in [
            ("", false),
            ("\nfinished\n", true),
            // Torn, or gone on with.
            ("\nfinished", false),
            ("\nfinished\nfile /x\n", false),
            ("\nfinished\nmount-directory /x\n", true),
        ] {
            assert_eq!(
                parse(format!("{whole}{more}").as_bytes()).finished,
                finished,
                "{more:?}"
            );
        }
        assert!(!parse(b"finished\n").finished, "no run has begun");
        let mounts_only = parse(b"mount-directory /m\n");
        assert!(!mounts_only.is_some() && mounts_only.mount_directories.len() == 1);
        assert_eq!(progress.wrote(&"/a b".into()), &[], "the last line is torn");
        assert_eq!(progress.wrote(&"/c".into()), &[made, made]);
        assert_eq!(progress.kept_before(&"/c".into(), made), Some(12));
        assert_eq!(progress.kept_before(&"/c".into(), config), None);
        assert_eq!(progress.places(), ["/".into(), "/d".into()].into());
        assert!(
            !progress.intends(&"/d/e".into()),
            "a directory is planned from what is there"
        );
        assert!(progress.begun_user("y"));
        assert!(!progress.begun_user("x"));
        assert_eq!(progress.groups_begun, ["h".to_owned()].into());
        // What another config recorded is known, and says nothing about what this one wants.
        let other = Digest::of(b"other");
        let seen = progress.clone().seen_by(other);
        assert_eq!(progress.clone().seen_by(config), progress);
        let more = format!("{}\n{HEADER}{other}\n", whole.rsplit_once('\n').unwrap().0);
        for seen in [seen, parse(more.as_bytes())] {
            assert_eq!(seen.wrote(&"/c".into()), &[]);
            assert!(seen.intends(&"/c".into()) && seen.ever_wrote(&"/c".into(), made));
        }
        for foreign in [
            "",
            "{}",
            "ignition-rs progress 2 x\nfile /a\n",
            "ignition-rs progress 1 zz\nfile /a\n",
        ] {
            assert_eq!(parse(foreign.as_bytes()), Progress::default(), "{foreign:?}");
        }
    }

    /// Its sibling in digests was found by fuzzing: `%+f` was read as `%0f`.
    #[test]
    fn an_escape_has_digits_and_no_signs() {
        for (text, expected) in [
            ("%0f", "\u{f}"),
            ("a%41%4a", "aAJ"),
            ("%+f", "?f"),
            ("%", "?"),
            ("%4", "?"),
        ] {
            assert_eq!(decode(text), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn encoding_is_reversible(bytes in proptest::collection::vec(1_u8.., 0..40)) {
            let text = OsString::from_vec(bytes);
            let encoded = encode(&text);
            proptest::prop_assert!(encoded.bytes().all(|byte| byte.is_ascii_graphic()));
            proptest::prop_assert_eq!(decode(&encoded), text);
        }
    }
}
