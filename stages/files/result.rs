//! The result file: that the machine has been provisioned, when, and in which boot (spec/mount_files.md 9). Real-root
//! units of Flatcar read it (flatcar.md 1.5), so names, types and the form of the boot id are fixed.

use std::iter::Peekable;
use std::slice::Iter;

use crate::plan::{Action, Base, Change, Content, Lost, Plan};
use crate::report::Pointer;
use crate::stages::{Phase, PlanError};
use crate::view::{RootPath, View};

use super::place::{At as _, root_access};
use super::planner::Planner;
use super::{Input, refuse};

/// The result file.
pub const RESULT: &str = "/etc/.ignition-result.json";

/// Each run adds its report to the ones before, so this allows for tens of thousands of runs.
const REPORT_MAX: u64 = 16 << 20;

/// Plans the result phase: one step.
///
/// # Errors
///
/// A result file that is there and is no JSON.
pub fn plan(input: &Input<'_>, view: &dyn View) -> Result<Plan, PlanError> {
    let mut planner = Planner::new(view, input);
    let at = &Pointer::root();
    let path = planner.resolve(&RootPath::from(RESULT), at)?;
    let (previous, change) = previous_report(&planner, input, &path, at)?;
    let run = input.run;
    let mut text = format!(
        "{{\n  \"provisioningBootID\": {},\n  \"provisioningDate\": {},\n  \"userConfigProvided\": {}",
        quote(&run.boot_id),
        quote(&run.date),
        run.user_config_provided
    )
    .into_bytes();
    if let Some(previous) = previous {
        text.extend_from_slice(b",\n  \"previousReport\": ");
        indent(&previous, 1, &mut text);
    }
    text.extend_from_slice(b"\n}\n");
    planner.make_parents(&path, at)?;
    let action = Action::WriteFile {
        path,
        base: Base::Nothing,
        contents: vec![Content::known(text)],
        access: root_access(0o600),
    };
    planner.push(action, change, at)?;
    planner.finish(Phase::Result)
}

/// The report to carry on, and what writing a new one means for what is there.
fn previous_report(
    planner: &Planner<'_>,
    input: &Input<'_>,
    path: &RootPath,
    at: &Pointer,
) -> Result<(Option<Vec<u8>>, Change), PlanError> {
    let Some(node) = planner.node(path, at)? else {
        return Ok((None, Change::Create));
    };
    if node.is_directory() {
        return Err(refuse(
            at.clone(),
            format!("{path} is a directory, and the result file must be written there"),
            "remove the directory",
        ));
    }
    // Whatever is at this program's own path is nobody's.
    let lost = Lost {
        trivial: true,
        ..planner.lost(path, &node, at)?
    };
    // The file may be reached through a link; the link itself is what gets replaced.
    let file = planner.follow(path, at)?;
    if input.run.live_image || !planner.node(&file, at)?.is_some_and(|node| node.is_file()) {
        return Ok((None, Change::Replace { lost }));
    }
    let unusable = |what: &str| {
        refuse(
            at.clone(),
            format!("{file} is there from an earlier run, and {what}"),
            "remove it, or put it right",
        )
    };
    let Some(bytes) = planner.view().read(&file, REPORT_MAX).at(at)? else {
        return Err(unusable("is too large to be a report"));
    };
    if serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_err() {
        return Err(unusable("is not JSON"));
    }
    if node.is_file() && planner.ever_wrote(path, at)? {
        let what = "the report of the interrupted run is written anew".to_owned();
        return Ok((member(&bytes, "previousReport"), Change::Modify { what }));
    }
    let what = "new report; the one that is there is kept in it as previousReport".to_owned();
    Ok((Some(bytes), Change::Modify { what }))
}

fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Lays out valid JSON anew, two spaces to a level; numbers, strings and the order of keys stay as they are.
///
/// Reports are nested as deep as there were runs, so this does not recurse.
fn indent(json: &[u8], mut level: usize, out: &mut Vec<u8>) {
    let line = |level: usize, out: &mut Vec<u8>| {
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', 2 * level));
    };
    let mut rest = json.iter().peekable();
    while let Some(&byte) = rest.next() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {}
            b'"' => copy_string(&mut rest, out),
            b'{' | b'[' => {
                out.push(byte);
                while rest.next_if(|byte| byte.is_ascii_whitespace()).is_some() {}
                if let Some(close) = rest.next_if(|byte| matches!(byte, b'}' | b']')) {
                    out.push(*close);
                } else {
                    level += 1;
                    line(level, out);
                }
            }
            b'}' | b']' => {
                level = level.saturating_sub(1);
                line(level, out);
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                line(level, out);
            }
            b':' => out.extend_from_slice(b": "),
            _ => out.push(byte),
        }
    }
}

/// Copies a string whose opening quote was taken already.
fn copy_string(rest: &mut Peekable<Iter<'_, u8>>, out: &mut Vec<u8>) {
    out.push(b'"');
    while let Some(&byte) = rest.next() {
        out.push(byte);
        match byte {
            b'\\' => out.extend(rest.next()),
            b'"' => return,
            _ => {}
        }
    }
}

/// The value of a key of the outermost object of valid JSON, without insignificant white space.
fn member(json: &[u8], key: &str) -> Option<Vec<u8>> {
    let wanted = quote(key).into_bytes();
    let mut rest = json.iter().peekable();
    let mut level = 0_usize;
    // Since the last `{` or `,` of the outermost object: its key, then its value.
    let mut name = Vec::new();
    let mut value: Option<Vec<u8>> = None;
    while let Some(&byte) = rest.next() {
        let mut token = Vec::new();
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => continue,
            b'"' => copy_string(&mut rest, &mut token),
            _ => token.push(byte),
        }
        match byte {
            b'{' | b'[' => level += 1,
            b'}' | b']' => level = level.saturating_sub(1),
            _ => {}
        }
        let boundary = (level == 1 && byte == b',') || level == 0;
        if boundary {
            if value.is_some() && name == wanted {
                return value;
            }
            name.clear();
            value = None;
        } else if let Some(value) = &mut value {
            value.extend_from_slice(&token);
        } else if level == 1 && byte == b':' {
            value = Some(Vec::new());
        } else if level == 1 && byte != b'{' {
            name = token;
        }
    }
    None
}

#[cfg(test)]
mod tests;
