//! passwd(5) and group(5): pure parsers over bytes. What is malformed is left alone and can be reported.

/// A line that is no entry although it looks like one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Line, from 1
    pub line: usize,
    /// What is wrong with it
    pub problem: &'static str,
}

/// An entry of passwd(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswdEntry<'a> {
    /// Login name
    pub name: &'a [u8],
    /// Number of the user
    pub uid: u32,
    /// Number of the primary group
    pub gid: u32,
    /// Comment
    pub gecos: &'a [u8],
    /// Home directory
    pub home: &'a [u8],
    /// Login shell
    pub shell: &'a [u8],
}

/// An entry of group(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupEntry<'a> {
    /// Name
    pub name: &'a [u8],
    /// Number
    pub gid: u32,
    /// Listed members, separated by commas
    members: &'a [u8],
}

impl<'a> GroupEntry<'a> {
    /// Listed members.
    pub fn members(&self) -> impl Iterator<Item = &'a [u8]> {
        self.members
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
            .filter(|member| !member.is_empty())
    }
}

/// The users of a passwd file, in order. As libc does it, fields that are missing at the end are empty, and blank lines,
/// comments and NIS lines (`+`, `-`) are no entries.
pub fn users(bytes: &[u8]) -> impl Iterator<Item = Result<PasswdEntry<'_>, Malformed>> {
    entries(bytes).map(|(line, text)| {
        let mut fields = text.split(|byte| *byte == b':');
        let mut next = || fields.next();
        let mut entry = || -> Result<PasswdEntry<'_>, &'static str> {
            let name = next()
                .filter(|name| !name.is_empty())
                .ok_or("the name is empty")?;
            next().ok_or("the password field is missing")?;
            let uid = number(next()).ok_or("the user id is not a number")?;
            let gid = number(next()).ok_or("the group id is not a number")?;
            Ok(PasswdEntry {
                name,
                uid,
                gid,
                gecos: next().unwrap_or_default(),
                home: next().unwrap_or_default(),
                shell: next().unwrap_or_default(),
            })
        };
        entry().map_err(|problem| Malformed { line, problem })
    })
}

/// The groups of a group file, in order, by the same rules.
pub fn groups(bytes: &[u8]) -> impl Iterator<Item = Result<GroupEntry<'_>, Malformed>> {
    entries(bytes).map(|(line, text)| {
        let mut fields = text.split(|byte| *byte == b':');
        let mut entry = || -> Result<GroupEntry<'_>, &'static str> {
            let name = fields
                .next()
                .filter(|name| !name.is_empty())
                .ok_or("the name is empty")?;
            fields.next().ok_or("the password field is missing")?;
            let gid = number(fields.next()).ok_or("the group id is not a number")?;
            Ok(GroupEntry {
                name,
                gid,
                members: fields.next().unwrap_or_default(),
            })
        };
        entry().map_err(|problem| Malformed { line, problem })
    })
}

/// Lines that should be entries, with their numbers.
fn entries(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    bytes
        .split(|byte| *byte == b'\n')
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim_ascii_start()))
        .filter(|(_, line)| !matches!(line.first(), None | Some(b'#' | b'+' | b'-')))
}

fn number(field: Option<&[u8]>) -> Option<u32> {
    let field = field?;
    // The standard parser also takes a sign.
    if field.is_empty() || !field.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(field).ok()?.parse().ok()
}
