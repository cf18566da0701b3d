//! Steps that the phases beside `nodes` share: a file in place of whatever is there, a line in a file, levels of
//! directories.

use super::contents::Contents;
use super::planner::Planner;
use super::refuse;
use crate::plan::{Access, Action, Base, Change, Content};
use crate::report::Pointer;
use crate::stages::{PlanError, Problem};
use crate::view::{Owner, RootPath, follow};

/// Preset file and crypttab are read whole; to a file beyond this, lines are added without looking for them in it.
const TEXT_MAX: u64 = 1 << 20;

/// Puts an error at a place in the config.
pub(super) trait At<T> {
    /// The same result, with the place that asked.
    fn at(self, pointer: &Pointer) -> Result<T, PlanError>;
}

impl<T, E: Into<Problem>> At<T> for Result<T, E> {
    fn at(self, pointer: &Pointer) -> Result<T, PlanError> {
        self.map_err(|error| error.into().at(pointer.clone()))
    }
}

/// Owner root, group root, and this mode.
pub(super) fn root_access(mode: u32) -> Access {
    Access {
        user: Owner::ROOT,
        group: Owner::ROOT,
        mode,
    }
}

impl Planner<'_> {
    /// Resolves a path inside the root, its last component included, which need not be a directory.
    pub(super) fn follow(&self, path: &RootPath, cause: &Pointer) -> Result<RootPath, PlanError> {
        follow(self.view(), path).at(cause)
    }

    /// Creates every missing level of a resolved directory path, the path included.
    pub(super) fn make_levels(
        &mut self,
        directory: &RootPath,
        access: &Access,
        cause: &Pointer,
    ) -> Result<(), PlanError> {
        let mut missing = Vec::new();
        let mut level = Some(directory.clone());
        while let Some(here) = level {
            if here.is_root() || self.node(&here, cause)?.is_some() {
                break;
            }
            level = here.parent();
            missing.push(here);
        }
        for path in missing.into_iter().rev() {
            let access = access.clone();
            self.push(Action::MakeDirectory { path, access }, Change::Create, cause)?;
        }
        Ok(())
    }

    /// Puts a file in place of whatever is at the path, save a directory; keeps it if nothing would differ.
    pub(super) fn put_file(
        &mut self,
        path: &RootPath,
        bytes: impl Into<std::sync::Arc<[u8]>>,
        access: Access,
        cause: &Pointer,
    ) -> Result<(), PlanError> {
        let path = self.resolve(path, cause)?;
        let node = self.node(&path, cause)?;
        if node.as_ref().is_some_and(crate::view::Node::is_directory) {
            return Err(refuse(
                cause.clone(),
                format!("{path} is a directory, and a file must be written there"),
                "remove the directory, or give the file another name",
            ));
        }
        self.write_file(&path, node.as_ref(), Contents::known(bytes), access, cause)
    }

    /// Takes lines that an earlier run may have left, and that this one's contradict, out of the file at a path; links are
    /// followed. Does nothing where no earlier run counts.
    pub(super) fn drop_lines(
        &mut self,
        path: &RootPath,
        is_stale: impl Fn(&str) -> bool,
        cause: &Pointer,
    ) -> Result<(), PlanError> {
        if !self.renews(cause)? {
            return Ok(());
        }
        let path = self.follow(path, cause)?;
        let Some(node) = self.node(&path, cause)?.filter(crate::view::Node::is_file) else {
            return Ok(());
        };
        let Some(bytes) = self.view().read(&path, TEXT_MAX).at(cause)? else {
            return Ok(());
        };
        let stale = |line: &&[u8]| {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            std::str::from_utf8(line).is_ok_and(&is_stale)
        };
        let lines = || bytes.split_inclusive(|byte| *byte == b'\n');
        let count = lines().filter(stale).count();
        if count == 0 {
            return Ok(());
        }
        let kept: Vec<u8> = lines().filter(|line| !stale(line)).flatten().copied().collect();
        let access = Access {
            user: node.user.clone(),
            group: node.group.clone(),
            mode: node.mode,
        };
        let lines = if count == 1 { "line" } else { "lines" };
        let action = Action::WriteFile {
            path,
            base: Base::Nothing,
            contents: vec![Content::known(kept)],
            access,
        };
        let what = format!("{count} {lines} of an earlier run go");
        self.push(action, Change::Modify { what }, cause)
    }

    /// Appends a line to the file at a path unless it is one of its lines already; links are followed. Returns whether
    /// the file holds the line already. `change` decides what the step is when a line must be added.
    pub(super) fn append_line(
        &mut self,
        path: &RootPath,
        line: &[u8],
        new_mode: u32,
        change: impl FnOnce(bool) -> Change,
        cause: &Pointer,
    ) -> Result<bool, PlanError> {
        let path = self.follow(path, cause)?;
        let node = self.node(&path, cause)?;
        let (base, access, text, exists) = match &node {
            None => (Base::Nothing, root_access(new_mode), Some(Vec::new()), false),
            Some(node) if node.is_file() => {
                let access = Access {
                    user: node.user.clone(),
                    group: node.group.clone(),
                    mode: node.mode,
                };
                let text = self.view().read(&path, TEXT_MAX).at(cause)?;
                (Base::Existing, access, text, true)
            }
            Some(_) => {
                return Err(refuse(
                    cause.clone(),
                    format!("{path} is not a regular file, and a line must be added to it"),
                    "remove it",
                ));
            }
        };
        let present = text
            .as_deref()
            .is_some_and(|text| text.split(|byte| *byte == b'\n').any(|found| found == line));
        let mut bytes = Vec::with_capacity(line.len() + 2);
        // Without this, a line would be added to the end of one that somebody left unfinished.
        if text
            .as_deref()
            .is_some_and(|text| !text.is_empty() && !text.ends_with(b"\n"))
        {
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
        let change = if present {
            Change::Keep {
                reason: "the line is there already".to_owned(),
            }
        } else {
            change(exists)
        };
        // Whether a step that is not known makes directories is not known either.
        if !matches!(change, Change::Unknown { .. }) {
            self.make_parents(&path, cause)?;
        }
        let action = Action::WriteFile {
            path,
            base,
            contents: vec![Content::known(bytes)],
            access,
        };
        self.push(action, change, cause)?;
        Ok(present)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Step;
    use crate::stages::files::scene::{Scene, lines};
    use crate::stages::{Phase, Rerun};
    use crate::view::NodeKind;
    use crate::view::fake::FakeView;

    #[test]
    fn a_file_in_the_way() {
        let fake = FakeView::new()
            .file("/same", b"x")
            .node("/private", NodeKind::File { size: Some(1) }, 0o600, 7, 0, b"x")
            .file("/other", b"yy")
            .file("/empty", b"")
            .link("/link", "nowhere")
            .dir("/dir")
            .link("/up", "sub/none");
        let scene = Scene::new("{}");
        let steps = |path: &str| -> Result<Vec<Step>, PlanError> {
            let input = scene.input();
            let mut planner = Planner::new(&fake, &input);
            planner.put_file(&path.into(), *b"x", root_access(0o644), &Pointer::root())?;
            Ok(planner.finish(Phase::Units)?.steps)
        };
        let last = |path: &str| steps(path).unwrap().pop().unwrap().change;
        assert_eq!(last("/new"), Change::Create);
        assert!(last("/same").keeps());
        assert_eq!(
            last("/private"),
            Change::Modify {
                what: "owner 7 to 0, mode 0600 to 0644".into()
            }
        );
        assert!(last("/other").destroys());
        assert!(!last("/empty").destroys());
        assert!(!last("/link").destroys());
        assert!(
            steps("/dir")
                .unwrap_err()
                .problem
                .to_string()
                .contains("is a directory")
        );
        assert!(steps("/other/x").is_err());
        // Through a dangling link: the missing levels of its target are made.
        assert_eq!(
            lines(&steps("/up/file").unwrap()),
            "create: mkdir /sub 0755 0:0 @ \n\
             create: mkdir /sub/none 0755 0:0 @ \n\
             create: write /sub/none/file 0644 0:0 \"x\" @ \n"
        );
    }

    #[test]
    fn stale_lines_go_only_where_an_earlier_run_counts() {
        let text = b"a 1\nb 1\n\xff\na 2";
        let fake = FakeView::new().node("/f", NodeKind::File { size: Some(12) }, 0o600, 7, 8, text);
        let mut scene = Scene::new("{}");
        let steps = |scene: &Scene, path: &str| {
            let input = scene.input();
            let mut planner = Planner::new(&fake, &input);
            let stale = |line: &str| line.starts_with("a ");
            planner.drop_lines(&path.into(), stale, &Pointer::root()).unwrap();
            lines(&planner.finish(Phase::Presets).unwrap().steps)
        };
        assert_eq!(steps(&scene, "/f"), "");
        scene.rerun = Rerun::Converge;
        assert_eq!(
            steps(&scene, "/f"),
            "modify (2 lines of an earlier run go): write /f 0600 7:8 \"b 1\\n\u{fffd}\\n\" @ \n"
        );
        assert_eq!(steps(&scene, "/missing"), "");
        scene.rerun = Rerun::Refuse;
        scene.progress.config = Some(crate::view::Digest::of(b"config"));
        assert!(steps(&scene, "/f").starts_with("modify (2 lines"));
        // On a machine that was provisioned before.
        scene.progress.config = None;
        let fake = fake.file("/etc/.ignition-result.json", b"{}");
        let input = scene.input();
        let mut planner = Planner::new(&fake, &input);
        planner
            .drop_lines(&"/f".into(), |line| line == "b 1", &Pointer::root())
            .unwrap();
        assert_eq!(planner.finish(Phase::Presets).unwrap().steps.len(), 1);
    }
}
