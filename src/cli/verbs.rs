//! The verbs of `ignition-rs`.

use std::fmt::Write as _;

use crate::flags::{Command, Style};

/// A verb: the first argument under the name `ignition-rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Show what a config would do
    Plan,
    /// Show what a boot has done
    Report,
    /// Check configs
    Validate,
    /// Apply a config in a container
    Apply,
    /// Say where a value of a config comes from
    Explain,
    /// Provision an image file
    Provision,
    /// Make a config smaller
    Pack,
    /// Translate Butane
    Butane,
    /// Convert old specs
    Convert,
    /// Print the verbs
    Help,
}

/// The verbs in the order of the overview, each with what it does.
pub const VERBS: [(Verb, &str); 10] = [
    (
        Verb::Plan,
        "show what a config would do to a root or an image, and change nothing",
    ),
    (
        Verb::Provision,
        "provision a disk image, on a loop device of its own",
    ),
    (
        Verb::Explain,
        "say where a value of a config comes from, and what it means",
    ),
    (Verb::Report, "show what a boot has done, with times"),
    (Verb::Validate, "check configs and point at what is wrong"),
    (Verb::Apply, "apply a config to the container this runs in"),
    (Verb::Pack, "not built yet"),
    (Verb::Butane, "not built yet"),
    (Verb::Convert, "not built yet"),
    (Verb::Help, "print this"),
];

impl Verb {
    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Report => "report",
            Self::Validate => "validate",
            Self::Apply => "apply",
            Self::Explain => "explain",
            Self::Provision => "provision",
            Self::Pack => "pack",
            Self::Butane => "butane",
            Self::Convert => "convert",
            Self::Help => "help",
        }
    }

    /// The verb of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        VERBS
            .into_iter()
            .map(|(verb, _)| verb)
            .find(|verb| verb.name() == name)
    }
}

impl std::fmt::Display for Verb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What `ignition-rs` without arguments says.
pub fn overview() -> String {
    let mut out = String::from(
        "ignition-rs provisions a machine once, at first boot, from the initrd.\n\n\
         Usage:\n  \
         ignition-rs VERB [--flags] ...\n  \
         ignition-rs -platform ID -stage STAGE [-flags]      as the initrd calls it\n\n\
         Verbs:\n",
    );
    for (verb, meaning) in VERBS {
        let _ = writeln!(out, "  {:<10} {meaning}", verb.name());
    }
    out.push_str(
        "\nRun 'ignition-rs VERB --help' for the flags of a verb, 'ignition-rs -dry-run -help' for the engine's.\n\
         Under the names ignition, ignition-apply, ignition-rmcfg and ignition-validate it is a drop-in for those.\n",
    );
    out
}

/// The page `ignition-rs(1)`; its flags are those of the engine.
pub static OVERVIEW: Command<()> = Command {
    name: "ignition-rs",
    section: 1,
    summary: "provision a machine at first boot, or show what that would do",
    synopsis: "VERB [--flags] ... | -platform ID -stage STAGE [-flags]",
    description: &[
        "As a tool for people it has verbs: plan shows what a config would do, provision provisions a disk image, explain says \
         where a value of a config comes from, report what a boot has done, validate checks configs, apply applies one to a \
         container. Verbs take long flags before and after their arguments.",
        "As the engine it takes the flags of ignition(8), and under the names ignition, ignition-apply, ignition-rmcfg and \
         ignition-validate it is a drop-in for those programs.",
        "The verbs pack, butane and convert are reserved and not built yet.",
    ],
    style: Style::Gnu,
    flags: &[],
    exit: &[
        ("0", "success"),
        ("1", "any error of a verb; each verb's page says more"),
        ("2", "bad usage of the engine"),
    ],
    files: &[],
    environment: &[],
    examples: &[
        (
            "ignition-rs plan --root /mnt/root my.ign",
            "what my.ign would do to the system under /mnt/root",
        ),
        (
            "ignition-rs validate --strict my.ign",
            "check a config before it reaches a machine",
        ),
    ],
    see_also: &[
        "ignition-rs-plan(1)",
        "ignition-rs-explain(1)",
        "ignition-rs-provision(1)",
        "ignition-rs-report(1)",
        "ignition-rs-validate(1)",
        "ignition-rs-apply(1)",
        "ignition-validate(1)",
        "ignition(8)",
        "ignition-apply(8)",
        "ignition-rmcfg(8)",
    ],
};
