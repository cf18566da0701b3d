//! The command lines (spec/disks.md 4.4-4.6).

use super::{BindVolume, FormatVolume, OpenVolume, VolumeAction};
use crate::sys::{Invocation, Tool};

/// The key file that an initrd of IBM Z has for secure keys.
pub const CEX_KEY: &str = "/etc/luks/cex.key";

/// Where `zkey` keeps secure keys.
pub const CEX_REPOSITORY: &str = "/etc/zkey/repository";

/// The name of a volume's secure key; its files have it with `.skey` and `.info`.
pub fn secure_key(volume: &str) -> String {
    format!("ignition-luks-{volume}")
}

impl VolumeAction {
    /// The programs that carry it out, with the path of the key file.
    pub(crate) fn commands_with(&self, key: &str) -> Vec<Invocation> {
        let cryptsetup = |args: &[&str]| Invocation::new(Tool::Cryptsetup, args.iter().copied());
        match self {
            Self::SaveKey(_) | Self::ReachServer(_) => Vec::new(),
            Self::CloseVolume(action) => vec![cryptsetup(&["luksClose", &action.volume.name])],
            Self::FormatVolume(action) => action.commands(key),
            Self::OpenVolume(action) => vec![action.command(key)],
            Self::BindVolume(action) => vec![action.command(key)],
            Self::ProveUnlock(volume) => vec![
                cryptsetup(&["luksClose", &volume.name]),
                Invocation::new(
                    Tool::Clevis,
                    ["luks", "unlock", "-d", &volume.node, "-n", &volume.name],
                ),
            ],
            Self::RemoveKey(volume) => vec![cryptsetup(&["luksRemoveKey", &volume.node, key])],
            // Without the label, cryptsetup 2.6 removes it.
            Self::FinishVolume(action) => vec![cryptsetup(&[
                "config",
                "--label",
                &action.label,
                "--subsystem",
                "",
                &action.volume.node,
            ])],
        }
    }
}

impl FormatVolume {
    fn commands(&self, key: &str) -> Vec<Invocation> {
        let node = &self.volume.node;
        let mut commands = Vec::new();
        if self.cex {
            commands.push(self.generate_secure_key("APQNS"));
        }
        if self.wipe {
            commands.push(Invocation::new(Tool::Wipefs, ["-a", node]));
        }
        commands.push(self.format(key, self.cex.then_some("BITS")));
        if self.cex {
            commands.push(self.set_verification_pattern(key));
        }
        commands
    }

    /// `luksFormat`. A volume with a secure key is given its size in bits. The config's own arguments come last, so they
    /// count, as upstream has it.
    pub(crate) fn format(&self, key: &str, secure_key_bits: Option<&str>) -> Invocation {
        let mut args: Vec<String> = ["luksFormat", "--type", "luks2", "--key-file", key]
            .map(str::to_owned)
            .into();
        let mut flag = |name: &str, value: Option<&String>| {
            if let Some(value) = value {
                args.extend([name.to_owned(), value.clone()]);
            }
        };
        flag("--label", self.label.as_ref());
        flag("--uuid", self.uuid.as_ref());
        flag("--subsystem", self.marker.as_ref());
        args.extend(self.options.iter().cloned());
        args.push(self.volume.node.clone());
        if let Some(bits) = secure_key_bits {
            let file = format!("{CEX_REPOSITORY}/{}.skey", secure_key(&self.volume.name));
            args.extend(["--volume-key-file".to_owned(), file]);
            args.extend(["--cipher", "paes-xts-plain64", "--key-size", bits].map(str::to_owned));
        }
        Invocation::new(Tool::Cryptsetup, args)
    }

    /// `zkey generate` with the domains of the crypto adapters, `01.0023,02.0023`.
    pub(crate) fn generate_secure_key(&self, domains: &str) -> Invocation {
        let name = &self.volume.name;
        let key = secure_key(name);
        let description = format!("Secure Key for {name} Volume");
        Invocation::new(
            Tool::Zkey,
            [
                "generate",
                "--name",
                &key,
                "--key-type",
                "CCA-AESCIPHER",
                "--xts",
                "--description",
                &description,
                "--apqns",
                domains,
            ],
        )
    }

    /// `zkey-cryptsetup setvp`.
    pub(crate) fn set_verification_pattern(&self, key: &str) -> Invocation {
        Invocation::new(
            Tool::ZkeyCryptsetup,
            ["setvp", &self.volume.node, "--key-file", key],
        )
    }
}

impl OpenVolume {
    /// `--persistent` stores the flags in the header, always.
    fn command(&self, key: &str) -> Invocation {
        let mut args: Vec<&str> = vec!["luksOpen", &self.volume.node, &self.volume.name];
        args.extend(["--key-file", key, "--persistent"]);
        args.extend(self.discard.then_some("--allow-discards"));
        args.extend(self.options.iter().map(String::as_str));
        Invocation::new(Tool::Cryptsetup, args)
    }
}

impl BindVolume {
    fn command(&self, key: &str) -> Invocation {
        let args = [
            "luks",
            "bind",
            "-f",
            "-k",
            key,
            "-d",
            &self.volume.node,
            &self.pin,
        ];
        Invocation::new(Tool::Clevis, args).hidden_arg(self.config.reveal())
    }
}
