//! A phase's plan in the making: every step is predicted as soon as it is added, so that the next one sees it.

use std::os::unix::ffi::OsStrExt as _;

use crate::plan::predict::predict;
use crate::plan::{Access, Action, Base, Change, Content, Lost, Step};
use crate::report::Pointer;
use crate::stages::{PlanError, Problem};
use crate::view::{
    FileDigest, Node, NodeKind, Overlay, Owner, ResolveError, RootPath, View, ViewError, resolve,
};

use super::refuse;

/// Links followed from one path before giving up, as the kernel does (path_resolution(7)).
const LINKS_MAX: usize = 40;

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

/// Steps so far, and the view with their effects.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    overlay: Overlay<'a>,
    steps: Vec<Step>,
}

impl<'a> Draft<'a> {
    /// An empty plan over a view.
    pub(super) fn new(view: &'a dyn View) -> Self {
        Self {
            overlay: Overlay::new(view),
            steps: Vec::new(),
        }
    }

    /// The machine as it is after the steps so far.
    pub(super) fn view(&self) -> &dyn View {
        &self.overlay
    }

    /// The steps.
    pub(super) fn into_steps(self) -> Vec<Step> {
        self.steps
    }

    /// Adds a step.
    pub(super) fn push(&mut self, action: Action, change: Change, cause: &Pointer) -> Result<(), PlanError> {
        let step = Step {
            action,
            change,
            cause: cause.clone(),
        };
        predict(&step, &mut self.overlay).at(cause)?;
        self.steps.push(step);
        Ok(())
    }

    /// Resolves a path inside the root; its last component is not followed.
    pub(super) fn resolve(&self, path: &RootPath, cause: &Pointer) -> Result<RootPath, PlanError> {
        resolve(&self.overlay, path).at(cause)
    }

    /// Resolves a path inside the root, its last component included, which need not be a directory.
    pub(super) fn follow(&self, path: &RootPath, cause: &Pointer) -> Result<RootPath, PlanError> {
        let mut asked = path.clone();
        for _ in 0..LINKS_MAX {
            let here = self.resolve(&asked, cause)?;
            match self.node(&here, cause)?.map(|node| node.kind) {
                Some(NodeKind::Symlink { target }) if target.as_bytes().starts_with(b"/") => {
                    asked = RootPath::clean(target);
                }
                Some(NodeKind::Symlink { target }) => {
                    asked = here.parent().unwrap_or_else(RootPath::root).join(target);
                }
                _ => return Ok(here),
            }
        }
        Err(ResolveError::Loop { path: path.clone() }).at(cause)
    }

    /// The node at a resolved path.
    pub(super) fn node(&self, path: &RootPath, cause: &Pointer) -> Result<Option<Node>, PlanError> {
        self.overlay.node(path).at(cause)
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
            let action = Action::MakeDirectory {
                path,
                access: access.clone(),
            };
            self.push(action, Change::Create, cause)?;
        }
        Ok(())
    }

    /// Creates the missing parents of a resolved path: root, 0755 (spec/mount_files.md 6.3).
    pub(super) fn make_parents(&mut self, path: &RootPath, cause: &Pointer) -> Result<(), PlanError> {
        path.parent().map_or(Ok(()), |parent| {
            self.make_levels(&parent, &root_access(0o755), cause)
        })
    }

    /// Puts a file in place of whatever is at the path, save a directory; keeps it if nothing would differ.
    pub(super) fn put_file(
        &mut self,
        path: &RootPath,
        content: Content,
        access: Access,
        cause: &Pointer,
    ) -> Result<(), PlanError> {
        let path = self.resolve(path, cause)?;
        let change = match self.node(&path, cause)? {
            None => Change::Create,
            Some(node) if node.is_directory() => {
                return Err(refuse(
                    cause.clone(),
                    format!("{path} is a directory, and a file must be written there"),
                    "remove the directory, or give the file another name",
                ));
            }
            Some(node) => {
                let same_bytes = node.is_file()
                    && matches!(
                        (&content, self.overlay.digest(&path).at(cause)?),
                        (Content::Known { sha512, .. }, FileDigest::Known(there)) if *sha512 == there
                    );
                match (same_bytes, access_differs(&node, &access)) {
                    (true, None) => Change::Keep {
                        reason: "same bytes, owner and mode".to_owned(),
                    },
                    (true, Some(what)) => Change::Modify { what },
                    (false, _) => Change::Replace {
                        lost: lost(&self.overlay, &path, &node).at(cause)?,
                    },
                }
            }
        };
        self.make_parents(&path, cause)?;
        let action = Action::WriteFile {
            path,
            base: Base::Nothing,
            contents: vec![content],
            access,
        };
        self.push(action, change, cause)
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
                let text = self.overlay.read(&path, TEXT_MAX).at(cause)?;
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

/// Preset file and crypttab are read whole; a file beyond this is appended to without being understood.
const TEXT_MAX: u64 = 1 << 20;

/// In words, what must change for a node to have this access; `None` if nothing.
pub(super) fn access_differs(node: &Node, access: &Access) -> Option<String> {
    let mut parts = Vec::new();
    if node.mode != access.mode {
        parts.push(format!("mode {:04o} to {:04o}", node.mode, access.mode));
    }
    if node.user != access.user {
        parts.push(format!("owner {} to {}", node.user, access.user));
    }
    if node.group != access.group {
        parts.push(format!("group {} to {}", node.group, access.group));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// What goes when this node goes.
pub(super) fn lost(view: &dyn View, path: &RootPath, node: &Node) -> Result<Lost, ViewError> {
    let (what, trivial) = match &node.kind {
        NodeKind::File { size: Some(0) } => ("empty file".to_owned(), true),
        NodeKind::File { size: Some(size) } => (format!("file of {} bytes", thousands(*size)), false),
        NodeKind::File { size: None } => ("file".to_owned(), false),
        NodeKind::Directory => match view.list(path)?.len() {
            0 => ("empty directory".to_owned(), true),
            1 => ("directory with 1 entry".to_owned(), false),
            entries => (format!("directory with {entries} entries"), false),
        },
        NodeKind::Symlink { target } => (format!("link to {}", target.display()), true),
        NodeKind::Other => ("special file".to_owned(), false),
    };
    Ok(Lost { what, trivial })
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fake::FakeView;

    #[test]
    fn numbers_have_commas() {
        for (number, text) in [(7, "7"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }

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
        let change = |path: &str| {
            let mut draft = Draft::new(&fake);
            draft
                .put_file(
                    &path.into(),
                    Content::known(*b"x"),
                    root_access(0o644),
                    &Pointer::root(),
                )
                .map(|()| draft.into_steps())
        };
        let last = |path: &str| change(path).unwrap().pop().unwrap();
        assert_eq!(last("/new").change, Change::Create);
        assert!(last("/same").change.keeps());
        assert_eq!(
            last("/private").change,
            Change::Modify {
                what: "mode 0600 to 0644, owner 7 to 0".into()
            }
        );
        assert!(last("/other").change.destroys());
        assert!(!last("/empty").change.destroys());
        assert!(!last("/link").change.destroys());
        assert!(
            change("/dir")
                .unwrap_err()
                .problem
                .to_string()
                .contains("is a directory")
        );
        assert!(change("/other/x").is_err());
        // Through a dangling link: the missing levels of its target are made.
        let paths: Vec<String> = change("/up/file")
            .unwrap()
            .iter()
            .map(|step| match &step.action {
                Action::MakeDirectory { path, .. } | Action::WriteFile { path, .. } => path.to_string(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(paths, ["/sub", "/sub/none", "/sub/none/file"]);
    }
}
