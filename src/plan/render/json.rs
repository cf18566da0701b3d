//! Plans for programs: `docs/plan-format.md`, `docs/plan.schema.json`.

use std::fmt::Write as _;

use serde::Serialize;

use super::super::{Lost, Plan, Step};
use super::disks::{DiskTable, Part, asks};
use super::escape::is_hidden;
use super::{Origin, Summary, destroyed, subject};
use crate::report::Pointer;
use crate::stages::{Phase, Stage};

/// The `format` of every document.
pub const FORMAT: &str = "ignition-rs plan";

/// The `version` of every document. It grows when something that a reader may rely on goes or changes its meaning; what
/// is only added leaves it.
pub const VERSION: u32 = 1;

/// Some plans as one JSON document. Serialise it, or write [`Document::to_text`]: it borrows the plans and copies nothing big.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document<'a> {
    format: &'static str,
    version: u32,
    summary: Numbers,
    destroys: Vec<Loss<'a>>,
    disks: Vec<Disk<'a>>,
    stages: Vec<StageSteps<'a>>,
}

impl Document<'_> {
    /// The document as indented text that ends with a line feed. Characters that a terminal would obey or hide are
    /// escaped.
    pub fn to_text(&self) -> Result<String, serde_json::Error> {
        let mut text = visible_json(&serde_json::to_string_pretty(self)?);
        text.push('\n');
        Ok(text)
    }
}

/// JSON in which characters that a terminal would obey or hide are escaped; it means the same.
pub fn visible_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len() + 1);
    for character in json.chars() {
        // Outside of strings only the line feed is hidden, and inside of them it is escaped already.
        if character != '\n' && is_hidden(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(character);
        }
    }
    text
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Numbers {
    #[serde(flatten)]
    summary: Summary,
    exit_code: u8,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Loss<'a> {
    stage: Stage,
    phase: Phase,
    what: String,
    lost: &'a Lost,
    cause: &'a Pointer,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    asks: Vec<Asks>,
}

/// A place in the config that asks for something to go.
#[derive(Debug, Serialize)]
struct Asks {
    cause: Pointer,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
}

impl Asks {
    fn new(cause: Pointer, origin: Origin<'_>) -> Self {
        Self {
            origin: origin(&cause),
            cause,
        }
    }
}

#[derive(Debug, Serialize)]
struct Disk<'a> {
    device: &'a str,
    node: &'a str,
    size: Option<u64>,
    before: Vec<PartOf<'a>>,
    after: Vec<PartOf<'a>>,
}

#[derive(Debug, Serialize)]
struct PartOf<'a> {
    #[serde(flatten)]
    part: &'a Part,
    #[serde(skip_serializing_if = "Option::is_none")]
    asks: Option<Asks>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StageSteps<'a> {
    stage: Stage,
    steps: Vec<FlatStep<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FlatStep<'a> {
    stage: Stage,
    phase: Phase,
    #[serde(flatten)]
    step: &'a Step,
    destroys: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    commands: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
}

/// Some plans as one JSON document, with the exit code that they mean. Plans of one stage must stand together.
pub fn json<'a>(plans: &'a [Plan], disks: &'a [DiskTable], origin: Origin<'_>) -> Document<'a> {
    let summary = Summary::of(plans);
    let parts = |parts: &'a [Part]| -> Vec<PartOf<'a>> {
        let parts = parts.iter().map(|part| PartOf {
            part,
            asks: part.asks.clone().map(|pointer| Asks::new(pointer, origin)),
        });
        parts.collect()
    };
    Document {
        format: FORMAT,
        version: VERSION,
        summary: Numbers {
            summary,
            exit_code: summary.exit_code(),
        },
        destroys: destroyed(plans)
            .map(|(plan, step, lost)| Loss {
                stage: plan.stage,
                phase: plan.phase,
                what: subject(&step.action),
                lost,
                cause: &step.cause,
                origin: origin(&step.cause),
                asks: asks(step)
                    .into_iter()
                    .map(|pointer| Asks::new(pointer, origin))
                    .collect(),
            })
            .collect(),
        disks: disks
            .iter()
            .map(|disk| Disk {
                device: &disk.device,
                node: &disk.node,
                size: disk.size,
                before: parts(&disk.before),
                after: parts(&disk.after),
            })
            .collect(),
        stages: plans
            .chunk_by(|one, next| one.stage == next.stage)
            .filter_map(|plans| {
                Some(StageSteps {
                    stage: plans.first()?.stage,
                    steps: plans.iter().flat_map(|plan| flat_steps(plan, origin)).collect(),
                })
            })
            .collect(),
    }
}

fn flat_steps<'a>(plan: &'a Plan, origin: Origin<'_>) -> impl Iterator<Item = FlatStep<'a>> {
    plan.steps.iter().map(move |step| FlatStep {
        stage: plan.stage,
        phase: plan.phase,
        step,
        destroys: step.change.destroys(),
        commands: if step.change.keeps() {
            Vec::new()
        } else {
            step.action.commands().iter().map(ToString::to_string).collect()
        },
        origin: origin(&step.cause),
    })
}
