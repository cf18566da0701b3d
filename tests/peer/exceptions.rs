//! In what the engines differ, and why that is well.

use std::fmt;

use super::engines::Difference;

/// A named way to differ.
pub(super) struct Exception {
    /// Its name, for the cases
    pub(super) name: &'static str,
    /// Why
    pub(super) reason: &'static str,
    /// Whether it holds for every case, or only where it is named
    pub(super) everywhere: bool,
    /// Whether it excuses a difference; may take its share out of it
    pub(super) excuses: fn(&mut Difference) -> bool,
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}: {}", self.name, self.reason)
    }
}

/// The same but for a part of the text.
fn same_but_for(lines: &[String], plain: fn(&str) -> String) -> bool {
    match lines {
        [ours, theirs] => {
            ours.starts_with('<') && theirs.starts_with('>') && plain(&ours[1..]) == plain(&theirs[1..])
        }
        _ => false,
    }
}

/// The lines of a file's text in order.
fn sorted(shown: &str) -> String {
    let mut lines: Vec<&str> = shown.split("\\n").collect();
    if let Some((before, first)) = lines[0].split_once('"') {
        lines[0] = first;
        lines.push(before);
    }
    lines.sort_unstable();
    lines.join("\n")
}

/// We go on, the peer stops in the files stage.
fn only_we_do(difference: &mut Difference) -> bool {
    matches!(
        difference,
        Difference::Code("files", Some(0), Some(1)) | Difference::State(..)
    )
}

/// The peer goes on, we stop in the files stage.
fn only_the_peer_does(difference: &mut Difference) -> bool {
    matches!(
        difference,
        Difference::Code("files", Some(1), Some(0)) | Difference::State(..)
    )
}

const PRESETS: &str = "etc/systemd/system-preset";

/// All of them. *Later* ones are changes of Ignition between 2.14.0 and 2.26.0 (spec/*.md); the others are listed in
/// docs/deviations.md.
pub(super) const EXCEPTIONS: &[Exception] = &[
    Exception {
        name: "order of presets",
        reason: "later: 2.14.0 writes them in the order of a Go map, another one in each run; 2.26.0 sorts them",
        everywhere: true,
        excuses: |difference| match difference {
            Difference::Tree(path, lines) => path.starts_with(PRESETS) && same_but_for(lines, sorted),
            _ => false,
        },
    },
    Exception {
        name: "password of a new group",
        reason: "later: 2.14.0 passes `--password *` for a group without a hash; 2.26.0 leaves it to groupadd, which \
                 writes `!`. Neither lets anybody in",
        everywhere: true,
        excuses: |difference| match difference {
            Difference::Tree(path, lines) => {
                path == "etc/gshadow" && same_but_for(lines, |text| text.replace(":*:", ":!:"))
            }
            _ => false,
        },
    },
    Exception {
        name: "groups that are there",
        reason: "later: 2.14.0 calls groupadd, which fails; 2.26.0 calls groupmod",
        everywhere: false,
        excuses: only_we_do,
    },
    Exception {
        name: "a disabled unit that is not enabled",
        reason: "later: 2.14.0 does not ask `systemctl is-enabled`, and writes a line for every disabled unit",
        everywhere: false,
        excuses: |difference| matches!(difference, Difference::Tree(path, _) if path.starts_with(PRESETS)),
    },
    Exception {
        name: "custom pins and the network",
        reason: "later: 2.14.0 overlooks that a custom clevis pin may need the network",
        everywhere: false,
        excuses: |difference| matches!(difference, Difference::NeedNet(true, false)),
    },
    Exception {
        name: "paths that systemd units have",
        reason: "later: 2.14.0 does not know the rule against files at the place of a unit",
        everywhere: false,
        excuses: |difference| {
            matches!(
                difference,
                Difference::Code(_, Some(1) | None, Some(0)) | Difference::Cache(..) | Difference::State(..)
            )
        },
    },
    Exception {
        name: "user data for other programs",
        reason: "Flatcar takes a cloud-config or a script for no config",
        everywhere: false,
        excuses: |difference| {
            matches!(
                difference,
                Difference::Code("fetch-offline" | "files", Some(0), Some(1) | None)
                    | Difference::Cache(..)
                    | Difference::State(..)
            )
        },
    },
    Exception {
        name: "base configs that lead nowhere",
        reason: "one dangling link drops all base configs there; here only itself",
        everywhere: false,
        excuses: |difference| {
            matches!(difference, Difference::State(..))
                || matches!(difference, Difference::Tree(path, _) if path == "srv/base")
        },
    },
    Exception {
        name: "a home that is missing",
        reason: "fails there for a user that was there, and where /home is an absolute link; here it is looked for in the \
                 root, and made when there are keys to put there",
        everywhere: false,
        excuses: only_we_do,
    },
    Exception {
        name: "keys in what root owns",
        reason: "written there by the user, who may not; here by root, to the user",
        everywhere: false,
        excuses: only_we_do,
    },
    Exception {
        name: "mode of keys that are replaced",
        reason: "an old file keeps its mode there; here a new file with mode 0600 takes its place, whole",
        everywhere: false,
        excuses: |difference| {
            matches!(difference, Difference::Tree(path, lines)
                if path.ends_with("authorized_keys.d/ignition")
                    && same_but_for(lines, |text| text.replace("0644", "0600")))
        },
    },
    Exception {
        name: "presets after a line without an end",
        reason: "the new line is glued to the old one there",
        everywhere: false,
        excuses: |difference| {
            matches!(difference, Difference::Tree(path, lines)
                if path.starts_with(PRESETS) && same_but_for(lines, |text| text.replace("\\n", "")))
        },
    },
    Exception {
        name: "appending to a hard link",
        reason: "a file is appended to by a copy that takes its place, so that no part of it is ever seen: the other names \
                 keep the old file",
        everywhere: false,
        excuses: |difference| matches!(difference, Difference::Tree(path, _) if path.starts_with("srv/")),
    },
    Exception {
        name: "negative ids",
        reason: "taken there for \"leave it\" by accident",
        everywhere: false,
        excuses: only_the_peer_does,
    },
];
