//! Changing account files: bytes in, bytes out. Whatever is not meant stays as it is, byte for byte.

use crate::view::Account;

/// What a password field holds when the hash is in the shadow file.
pub const IN_SHADOW: &[u8] = b"x";

/// Why a file cannot be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// No line for the account.
    #[error("there is no such account")]
    NoAccount,
    /// The hash would break the line that it is put in.
    #[error("the password hash contains a colon or a control character; it must be one field of crypt(5)")]
    Hash,
}

/// What both files of a database become; `None` where nothing changes.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Edit {
    /// passwd or group
    pub public: Option<Vec<u8>>,
    /// shadow or gshadow
    pub secret: Option<Vec<u8>>,
}

impl std::fmt::Debug for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edit")
            .field("public", &self.public.is_some())
            .field("secret", &self.secret.is_some())
            .finish()
    }
}

/// Sets one password. With a shadow file it goes there (an entry is added if there is none) and the public field says
/// so; without one it goes to the public file.
pub fn set_password(
    account: Account<'_>,
    public: &[u8],
    secret: Option<&[u8]>,
    hash: &str,
) -> Result<Edit, EditError> {
    let hash = hash.as_bytes();
    if hash.iter().any(|byte| *byte == b':' || byte.is_ascii_control()) {
        return Err(EditError::Hash);
    }
    let name = super::files(account).2.as_bytes();
    let field = password(public, name).ok_or(EditError::NoAccount)?;
    let Some(secret) = secret else {
        return Ok(Edit {
            public: (field != hash).then(|| with_password(public, name, hash)),
            secret: None,
        });
    };
    let new = match password(secret, name) {
        Some(old) if old == hash => None,
        Some(_) => Some(with_password(secret, name, hash)),
        None => Some(with_line(secret, &secret_line(account, public, hash))),
    };
    Ok(Edit {
        public: (field != IN_SHADOW).then(|| with_password(public, name, IN_SHADOW)),
        secret: new,
    })
}

/// A new line for the shadow file. Ageing is left off: its day of the last change would differ from run to run.
fn secret_line(account: Account<'_>, public: &[u8], hash: &[u8]) -> Vec<u8> {
    match account {
        Account::User(name) => [name.as_bytes(), b":", hash, b":::::::"].concat(),
        Account::Group(name) => {
            let members =
                line(public, name.as_bytes()).and_then(|line| line.split(|byte| *byte == b':').nth(3));
            [name.as_bytes(), b":", hash, b"::", members.unwrap_or_default()].concat()
        }
    }
}

/// Copies an account's lines from the image's files into the machine's. What is there already stays.
pub fn adopt(
    account: Account<'_>,
    image: (&[u8], Option<&[u8]>),
    public: Option<&[u8]>,
    secret: Option<&[u8]>,
) -> Result<Edit, EditError> {
    let name = super::files(account).2.as_bytes();
    let mut edit = Edit::default();
    if public.is_none_or(|public| line(public, name).is_none()) {
        let copied = line(image.0, name).ok_or(EditError::NoAccount)?;
        edit.public = Some(with_line(public.unwrap_or_default(), copied));
    }
    let copied = image.1.and_then(|image| line(image, name));
    if let Some(copied) = copied
        && secret.is_none_or(|secret| line(secret, name).is_none())
    {
        edit.secret = Some(with_line(secret.unwrap_or_default(), copied));
    }
    Ok(edit)
}

/// The password field of an account; `None` without an entry.
pub fn password<'a>(bytes: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    line(bytes, name)?.split(|byte| *byte == b':').nth(1)
}

/// Number of an account's line, from 1.
pub fn line_of(bytes: &[u8], name: &[u8]) -> Option<usize> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    lines.position(|line| is_entry(line, name)).map(|index| index + 1)
}

/// An account's line: the first of its name.
fn line<'a>(bytes: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    bytes
        .split(|byte| *byte == b'\n')
        .find(|line| is_entry(line, name))
}

fn is_entry(line: &[u8], name: &[u8]) -> bool {
    !name.is_empty()
        && line
            .strip_prefix(name)
            .is_some_and(|rest| rest.first() == Some(&b':'))
}

/// The file with another password in an account's line.
fn with_password(bytes: &[u8], name: &[u8], hash: &[u8]) -> Vec<u8> {
    let mut found = false;
    let mut result = Vec::with_capacity(bytes.len() + hash.len());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if found || !is_entry(line, name) {
            result.extend_from_slice(line);
            continue;
        }
        found = true;
        let rest = line.get(name.len() + 1..).unwrap_or_default();
        let end = rest
            .iter()
            .position(|byte| matches!(byte, b':' | b'\n'))
            .unwrap_or(rest.len());
        result.extend_from_slice(name);
        result.push(b':');
        result.extend_from_slice(hash);
        result.extend_from_slice(rest.get(end..).unwrap_or_default());
    }
    result
}

/// The file with one more line.
fn with_line(bytes: &[u8], line: &[u8]) -> Vec<u8> {
    let mut result = bytes.to_vec();
    if result.last().is_some_and(|byte| *byte != b'\n') {
        result.push(b'\n');
    }
    result.extend_from_slice(line);
    result.push(b'\n');
    result
}
