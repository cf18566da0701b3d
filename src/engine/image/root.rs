//! Which filesystem of an image is the root.

use super::super::failure::Failure;
use crate::config::types::Config;
use crate::stages::Stage;
use crate::stages::mount::wanted;
use crate::view::{Devices, names};

/// Types that blkid finds and nobody mounts.
const NO_FILESYSTEM: [&str; 4] = ["", "swap", "crypto_LUKS", "linux_raid_member"];

/// The root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Root {
    /// The config mounts it itself
    OfConfig {
        /// The node of its device
        node: String,
    },
    /// It has the label
    Labelled {
        /// The node of its device
        node: String,
        /// Its type
        kind: String,
    },
}

impl Root {
    /// The node of its device.
    pub(super) fn node(&self) -> &str {
        match self {
            Self::OfConfig { node } | Self::Labelled { node, .. } => node,
        }
    }
}

/// Finds the root on devices as they are after the disks stage.
pub(super) fn find(config: &Config, label: &str, devices: &dyn Devices) -> Result<Root, Failure> {
    let failed = |error| Failure::new(None, &error).doing("find the root of the image");
    if let Some(entry) = wanted(config).into_iter().find(|wanted| wanted.path.is_root()) {
        let path = entry.filesystem.device.as_str();
        let found = devices.device(path).map_err(failed)?;
        let node = found.map_or_else(|| path.to_owned(), |device| device.node);
        return Ok(Root::OfConfig { node });
    }
    let path = names::by_label(label).unwrap_or_default();
    let found = devices.device(&path).map_err(failed)?;
    let Some(found) = found else {
        return Err(Failure::text(
            Some(Stage::Files),
            format!(
                "there is no root: the image has no filesystem with the label {label}, and the config makes none"
            ),
            "let the config make one (storage.filesystems, with this label or with the path /), or name its label with \
             --root-label",
        ));
    };
    let kind = devices.signature(&found.node).map_err(failed)?.kind;
    if NO_FILESYSTEM.contains(&kind.as_str()) {
        let what = if kind.is_empty() { "no filesystem" } else { &kind };
        return Err(Failure::text(
            Some(Stage::Files),
            format!("{} has the label {label}, and holds {what}", found.node),
            "name the label of the root's filesystem with --root-label",
        ));
    }
    Ok(Root::Labelled {
        node: found.node,
        kind,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fake_devices::FakeDevices;

    #[test]
    fn the_config_goes_before_the_label() {
        let devices = FakeDevices::new()
            .disk("/dev/vda", 1 << 30)
            .partition("/dev/vda", 1, 1 << 20, 1 << 20)
            .partition("/dev/vda", 2, 2 << 20, 1 << 20)
            .signature("/dev/vda1", "ext4", "u", "ROOT")
            .signature("/dev/vda2", "swap", "v", "SWAP")
            .link("/dev/disk/by-label/ROOT", "/dev/vda1")
            .link("/dev/disk/by-label/SWAP", "/dev/vda2");
        let nothing = Config::default();
        let by_label = Root::Labelled {
            node: "/dev/vda1".to_owned(),
            kind: "ext4".to_owned(),
        };
        assert_eq!(find(&nothing, "ROOT", &devices).unwrap(), by_label);
        for (label, words) in [("root", "there is no root"), ("SWAP", "holds swap")] {
            let failure = find(&nothing, label, &devices).unwrap_err().to_string();
            assert!(
                failure.contains(words) && failure.contains("--root-label"),
                "{failure}"
            );
        }
        let config: Config = serde_json::from_value(serde_json::json!({"storage": {"filesystems": [
            {"device": "/dev/vda2", "path": "/", "format": "ext4"}
        ]}}))
        .unwrap();
        assert_eq!(find(&config, "ROOT", &devices).unwrap().node(), "/dev/vda2");
    }
}
