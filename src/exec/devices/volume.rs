//! Making and opening LUKS volumes.

use std::io;
use std::path::Path;

use super::super::{ExecError, Machine};
use crate::fetch::read_all;
use crate::plan::device::{
    BindVolume, CEX_KEY, CEX_REPOSITORY, FormatVolume, Key, ReachServer, SaveKey, VolumeAction, VolumeOf,
    mapper_path, secure_key,
};
use crate::plan::{Content, Secret};
use crate::sys::devices::Changed;
use crate::sys::devices::luks::Metadata;
use crate::sys::key_file::KeyFile;
use crate::sys::{Invocation, RunError, Tool};

/// The most that a key file or an advertisement may hold, in bytes. cryptsetup itself reads 8 MiB of a key file.
const LIMIT: u64 = 64 << 20;

/// A volume's key cannot be had, kept or used.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// The state file, or a file in memory
    #[error("cannot {operation} the key of {name}")]
    Key {
        /// What was tried
        operation: &'static str,
        /// The volume
        name: String,
        /// What the system said
        #[source]
        source: io::Error,
    },
    /// The state file has none, although a step before has kept it.
    #[error("the state file has no key for {0}; run the disks stage again")]
    NoKey(String),
    /// It has no bytes.
    #[error("the key file of {0} is empty, so anybody could open the volume; give one that has contents")]
    Empty(String),
    /// The initrd has no key for secure keys.
    #[error("{CEX_KEY} is missing, and cex is enabled; put it into the initrd")]
    NoCexKey,
    /// No adapter does it.
    #[error(
        "no crypto adapter in CCA mode is there, and cex is enabled; give this machine one, or disable cex"
    )]
    NoAdapter,
    /// clevis ended as if all were well.
    #[error(
        "clevis has ended with success, and the header of {device} has no key that pin {pin} opens; the volume's key is kept; \
         see whether the initrd has all that this pin needs"
    )]
    NotBound {
        /// The device as the config names it
        device: String,
        /// What opens it
        pin: String,
    },
    /// A volume that is kept does not open.
    #[error(
        "the volume on {device} cannot be opened; give its own key in keyFile, or set wipeVolume to make it anew"
    )]
    Open {
        /// The device as the config names it
        device: String,
        /// What cryptsetup said
        #[source]
        source: RunError,
    },
}

fn failed(operation: &'static str, name: &str) -> impl FnOnce(io::Error) -> ExecError {
    let name = name.to_owned();
    move |source| {
        VolumeError::Key {
            operation,
            name,
            source,
        }
        .into()
    }
}

/// Carries an action out.
pub(super) fn execute(action: &VolumeAction, machine: &Machine<'_>) -> Result<(), ExecError> {
    match action {
        VolumeAction::SaveKey(action) => save_key(action, machine),
        VolumeAction::ReachServer(action) => reach(action, machine),
        VolumeAction::FormatVolume(format) => {
            with_key(&format.volume, machine, |key| make(format, key, machine))?;
            say_kdf(&format.volume, machine);
            Ok(machine.devices.announce(&[Changed::node(&format.volume.node)])?)
        }
        VolumeAction::OpenVolume(open) => {
            with_key(&open.volume, machine, |key| {
                run(&action.commands_with(key), machine).map_err(|error| match error {
                    ExecError::Run(source @ RunError::Failed { .. }) if open.kept => VolumeError::Open {
                        device: open.volume.device.clone(),
                        source,
                    }
                    .into(),
                    other => other,
                })
            })?;
            await_mapping(&open.volume, machine)
        }
        VolumeAction::BindVolume(bind) => {
            let commands = |key: &str| run(&action.commands_with(key), machine);
            with_key(&bind.volume, machine, commands).map_err(|error| match error {
                ExecError::Run(RunError::Failed {
                    command,
                    ended,
                    stderr,
                }) => ExecError::Run(RunError::Failed {
                    command,
                    ended,
                    stderr: without_values(stderr, bind.config.reveal()),
                }),
                other => other,
            })?;
            check_bound(bind, machine)
        }
        VolumeAction::ProveUnlock(volume) => {
            run(&action.commands_with(""), machine)?;
            await_mapping(volume, machine)
        }
        VolumeAction::RemoveKey(volume) => {
            with_key(volume, machine, |key| run(&action.commands_with(key), machine))?;
            machine
                .keys
                .forget(&volume.name)
                .map_err(failed("forget", &volume.name))
        }
        VolumeAction::CloseVolume(_) | VolumeAction::FinishVolume(_) => {
            run(&action.commands_with(""), machine)
        }
    }
}

fn run(commands: &[Invocation], machine: &Machine<'_>) -> Result<(), ExecError> {
    for command in commands {
        machine.runner.run(command)?;
    }
    Ok(())
}

fn await_mapping(volume: &VolumeOf, machine: &Machine<'_>) -> Result<(), ExecError> {
    Ok(machine.devices.await_paths(&[&mapper_path(&volume.name)])?)
}

/// Does something with a file in memory that holds the volume's key.
fn with_key(
    volume: &VolumeOf,
    machine: &Machine<'_>,
    act: impl FnOnce(&str) -> Result<(), ExecError>,
) -> Result<(), ExecError> {
    let name = &volume.name;
    let key = machine.keys.key(name).map_err(failed("read", name))?;
    let key = key.ok_or_else(|| VolumeError::NoKey(name.clone()))?;
    let file = KeyFile::new(key.reveal()).map_err(failed("hand over", name))?;
    act(&file.path())
}

fn save_key(action: &SaveKey, machine: &Machine<'_>) -> Result<(), ExecError> {
    let name = &action.name;
    let bytes: Secret<Vec<u8>> = match &action.key {
        Key::Generated { bytes } => bytes.clone(),
        Key::File(Content::Known { bytes, .. }) => Secret::new(bytes.reveal().to_vec()),
        Key::File(Content::Remote { url, resource, .. }) => {
            let fetch = |source| ExecError::Fetch {
                url: url.clone(),
                source,
            };
            let contents = machine.fetcher.open(resource.reveal()).map_err(fetch)?;
            Secret::new(read_all(contents, LIMIT, url).map_err(fetch)?)
        }
        Key::Cex => {
            let read = machine.host.read(Path::new(CEX_KEY), LIMIT);
            Secret::new(read.map_err(failed("read", name))?.ok_or(VolumeError::NoCexKey)?)
        }
    };
    if bytes.reveal().is_empty() {
        return Err(VolumeError::Empty(name.clone()).into());
    }
    machine
        .keys
        .keep(name, bytes.reveal())
        .map_err(failed("keep", name))
}

fn reach(action: &ReachServer, machine: &Machine<'_>) -> Result<(), ExecError> {
    let fetch = |source| ExecError::Fetch {
        url: action.url.clone(),
        source,
    };
    let contents = machine.fetcher.open(action.resource.reveal()).map_err(fetch)?;
    read_all(contents, LIMIT, &action.url).map_err(fetch)?;
    Ok(())
}

fn make(format: &FormatVolume, key: &str, machine: &Machine<'_>) -> Result<(), ExecError> {
    if !format.cex {
        let action = VolumeAction::FormatVolume(format.clone());
        return run(&action.commands_with(key), machine);
    }
    let name = &format.volume.name;
    let domains = crypto_domains(machine).map_err(failed("find adapters for", name))?;
    if domains.is_empty() {
        return Err(VolumeError::NoAdapter.into());
    }
    let repository = Path::new(CEX_REPOSITORY);
    machine
        .host
        .make_directory(repository, 0o700)
        .map_err(failed("keep", name))?;
    machine
        .runner
        .run(&format.generate_secure_key(&domains.join(",")))?;
    let file = format!("{}.skey", secure_key(name));
    let secure = read_secure_key(&file, name, machine)?;
    if format.wipe {
        machine
            .runner
            .run(&Invocation::new(Tool::Wipefs, ["-a", &format.volume.node]))?;
    }
    let bits = secure.len().saturating_mul(8).to_string();
    machine.runner.run(&format.format(key, Some(&bits)))?;
    machine.runner.run(&format.set_verification_pattern(key))?;
    // Only now: setting the pattern has changed them.
    for file in [format!("{}.info", secure_key(name)), file] {
        let bytes = read_secure_key(&file, name, machine)?;
        machine
            .keys
            .keep_secure_key(&file, &bytes)
            .map_err(failed("keep", name))?;
    }
    Ok(())
}

fn read_secure_key(file: &str, name: &str, machine: &Machine<'_>) -> Result<Vec<u8>, ExecError> {
    let read = machine.host.read(&Path::new(CEX_REPOSITORY).join(file), LIMIT);
    let missing = || io::Error::new(io::ErrorKind::NotFound, format!("zkey has not made {file}"));
    read.and_then(|bytes| bytes.ok_or_else(missing))
        .map_err(failed("read", name))
}

/// The domains of crypto adapters in CCA mode: `01.0023`.
fn crypto_domains(machine: &Machine<'_>) -> io::Result<Vec<String>> {
    let devices = Path::new("/sys/bus/ap/devices");
    let mut found = Vec::new();
    for entry in machine.host.list(devices)?.unwrap_or_default() {
        let Some(name) = entry.to_str().filter(|name| is_domain(name)) else {
            continue;
        };
        let uevent = machine.host.read(&devices.join(name).join("uevent"), LIMIT)?;
        let text = String::from_utf8_lossy(&uevent.unwrap_or_default()).into_owned();
        let mut values = text.lines().filter_map(|line| line.split_once('='));
        if values.any(|(_, value)| value == "cca") {
            found.push(name.to_owned());
        }
    }
    Ok(found)
}

fn is_domain(name: &str) -> bool {
    let is_hex =
        |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    name.split_once('.')
        .is_some_and(|(card, domain)| is_hex(card, 2) && is_hex(domain, 4))
}

/// What a pin said, without the values of its configuration.
fn without_values(mut said: String, config: &str) -> String {
    let mut values: Vec<String> = Vec::new();
    let mut left: Vec<serde_json::Value> = serde_json::from_str(config).into_iter().collect();
    while let Some(value) = left.pop() {
        match value {
            serde_json::Value::String(text) => values.push(text),
            serde_json::Value::Array(list) => left.extend(list),
            serde_json::Value::Object(map) => left.extend(map.into_iter().map(|(_, value)| value)),
            _ => {}
        }
    }
    // One may be part of another.
    values.sort_by_key(|text| std::cmp::Reverse(text.len()));
    for value in values.iter().filter(|text| text.len() > 2) {
        said = said.replace(value, "<secret>");
    }
    said
}

/// What the volume's header has; `None` if cryptsetup prints something else.
fn metadata(volume: &VolumeOf, machine: &Machine<'_>) -> Result<Option<Metadata>, RunError> {
    let dump = Invocation::new(
        Tool::Cryptsetup,
        ["luksDump", "--dump-json-metadata", &volume.node],
    );
    let output = machine.runner.run(&dump)?;
    Ok(Metadata::parse(&output.stdout))
}

/// `clevis luks bind` is a script that can end with 0 and have bound nothing. The key that opens the volume is removed
/// later, and not every pin is proved before, so the header must show it. The volume was made in this run: a token of
/// another binding is not there.
fn check_bound(bind: &BindVolume, machine: &Machine<'_>) -> Result<(), ExecError> {
    let metadata = metadata(&bind.volume, machine)?;
    if metadata.is_some_and(|metadata| metadata.is_bound_by_clevis()) {
        return Ok(());
    }
    Err(VolumeError::NotBound {
        device: bind.volume.device.clone(),
        pin: bind.pin.clone(),
    }
    .into())
}

/// Says how slow the volume's key is to guess. cryptsetup takes less memory on a small machine, and nobody would notice.
fn say_kdf(volume: &VolumeOf, machine: &Machine<'_>) {
    let Some(metadata) = metadata(volume, machine).ok().flatten() else {
        tracing::warn!("cannot tell how the key of {} is derived", volume.name);
        return;
    };
    for kdf in metadata.kdfs() {
        tracing::info!("the key of {} is derived with {kdf}", volume.name);
    }
}

#[cfg(test)]
mod tests;
