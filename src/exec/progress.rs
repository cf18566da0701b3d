//! The progress record on ROOT: what an unfinished run was about to do and has done (design.md 3).
//!
//! One line per fact, appended; a torn last line counts for nothing. Paths and names are percent-encoded, so that a
//! line is always a line:
//!
//! ```text
//! ignition-rs progress 1 <sha512 of the config>
//! file /etc/hostname                 about to be written
//! directory /srv/www                 about to be made
//! user caddy                         about to be created
//! group docker                       about to be created
//! placing /etc/motd <sha512>         composed, moved to its place next
//! made-user caddy                    created
//! made-group docker                  created
//! ```

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use crate::PROGRESS_PATH;
use crate::config::grammar::url::hex_digit;
use crate::plan::{Action, Change, Plan, Step};
use crate::stages::Progress;
use crate::sys::sysroot::{AppendFile, Sysroot, SysrootError};
use crate::view::{Digest, RootPath};

const HEADER: &str = "ignition-rs progress 1 ";

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
            progress.config = Digest::from_hex(config);
        }
        if progress.config.is_none() {
            return Progress::default();
        }
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["file", path] => {
                progress.files.entry(decode_path(path)).or_default();
            }
            ["directory", path] => {
                progress.directories.insert(decode_path(path));
            }
            ["placing", path, digest] => {
                if let Some(digest) = Digest::from_hex(digest) {
                    progress.files.entry(decode_path(path)).or_default().push(digest);
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
}

impl<'a> Record<'a> {
    /// The record of the files stage. Nothing is written before the first step.
    pub fn new(root: &'a Sysroot, config: Digest) -> Self {
        Self {
            root,
            config,
            kept: true,
            file: None,
        }
    }

    /// For stages that plan from what is there and need no record.
    pub fn none(root: &'a Sysroot) -> Self {
        Self {
            root,
            config: Digest([0; 64]),
            kept: false,
            file: None,
        }
    }

    /// Records what a plan is about to do, durably, before its first step.
    pub(super) fn begin(&mut self, plan: &Plan) -> Result<(), SysrootError> {
        let lines: String = plan.steps.iter().filter_map(line).collect();
        self.add(&lines, true)
    }

    /// Records the bytes that a file is about to have.
    pub(super) fn placing(
        &mut self,
        path: &RootPath,
        digest: Digest,
        durable: bool,
    ) -> Result<(), SysrootError> {
        self.add(
            &format!("placing {} {digest}\n", encode(path.as_os_str())),
            durable,
        )
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

    /// Removes the record: the run has succeeded. What it did must be durable before.
    pub fn finish(self) -> Result<(), SysrootError> {
        let path = RootPath::from(PROGRESS_PATH);
        if self.kept && self.root.node(&path)?.is_some() {
            self.root.remove_tree(&path)?;
            self.root.sync_directory(&RootPath::root())?;
        }
        Ok(())
    }

    fn add(&mut self, lines: &str, durable: bool) -> Result<(), SysrootError> {
        if !self.kept {
            return Ok(());
        }
        let path = RootPath::from(PROGRESS_PATH);
        let file = if let Some(file) = &mut self.file {
            file
        } else {
            let mut file = self.root.open_append(&path)?;
            // A record of an earlier attempt goes on, unless it is of another config.
            let before = parse(&self.root.read(&path, RECORD_MAX)?.unwrap_or_default());
            if before.config != Some(self.config) {
                file.append(format!("{HEADER}{}\n", self.config).as_bytes(), false)?;
            }
            self.file.insert(file)
        };
        file.append(lines.as_bytes(), durable)
    }
}

/// What a re-run must know about a step before it begins.
fn line(step: &Step) -> Option<String> {
    if matches!(step.change, Change::Keep { .. } | Change::Unknown { .. }) {
        return None;
    }
    match &step.action {
        Action::WriteFile { path, .. }
        | Action::MakeSymlink { path, .. }
        | Action::MakeHardLink { path, .. } => Some(format!("file {}\n", encode(path.as_os_str()))),
        Action::MakeDirectory { path, .. } => Some(format!("directory {}\n", encode(path.as_os_str()))),
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
            "{HEADER}{config}\nfile /a%20b\ndirectory /d/e\nuser x\nuser y\nmade-user x\ngroup g\ngroup h\nmade-group g\nplacing /c {made}\nplacing /a%20b {}",
            &made.to_string().split_off(88)
        );
        let progress = parse(whole.as_bytes());
        assert_eq!(progress.config, Some(config));
        assert!(progress.intends(&"/a b".into()));
        assert_eq!(progress.wrote(&"/a b".into()), &[], "the last line is torn");
        assert_eq!(progress.wrote(&"/c".into()), &[made]);
        assert_eq!(progress.places(), ["/".into(), "/d".into()].into());
        assert!(
            !progress.intends(&"/d/e".into()),
            "a directory is planned from what is there"
        );
        assert!(progress.begun_user("y"));
        assert!(!progress.begun_user("x"));
        assert_eq!(progress.groups_begun.into_iter().collect::<Vec<_>>(), ["h"]);
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
