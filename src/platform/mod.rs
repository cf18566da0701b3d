//! The platforms: how each hands a config to a machine (spec/fetch.md 9, platforms.md).
//!
//! # To add a platform
//!
//! 1. Make a folder `src/platform/<id>/` with a unit struct that implements [`Provider`]. Everything it touches comes
//!    through [`Transports`]; if it needs an edge that is not there (block devices, a socket), add a trait for it in
//!    `sys/` with a fake beside it, and a field here.
//! 2. Return [`Answer::Config`] with what the platform holds, untouched: zero bytes mean "no config". Do not parse it.
//!    Pass [`FetchError::NeedNet`](crate::fetch::FetchError::NeedNet) on as [`PlatformError::Fetch`], so that
//!    fetch-offline sees it.
//! 3. Name it in [`Platform::provider`] instead of [`NotBuilt`].
//! 4. Test it in the folder, over the fakes: no config, empty config, a config, each failure it can meet.

mod file;
mod metal;
mod not_built;
mod qemu;

pub use not_built::NotBuilt;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::config::types;
use crate::fetch::settings::Settings;
use crate::fetch::web::Web;
use crate::fetch::{FetchError, Fetcher};
use crate::plan::Secret;
use crate::sys::{Clock, Environment, HostFiles, RunError, Runner};

macro_rules! platforms {
    ($($variant:ident $id:literal $name:literal),* $(,)?) => {
        /// A platform that upstream registers (platforms.md 0). There is no other id and no alias.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Platform {
            $(#[doc = $name] $variant,)*
        }

        impl Platform {
            /// All of them, by id.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// As it stands behind `-platform`.
            pub fn id(self) -> &'static str {
                match self {
                    $(Self::$variant => $id,)*
                }
            }
        }
    };
}

platforms! {
    Akamai "akamai" "Akamai Connected Cloud",
    Aliyun "aliyun" "Alibaba Cloud",
    AppleHv "applehv" "Apple Hypervisor",
    Aws "aws" "Amazon Web Services",
    Azure "azure" "Microsoft Azure",
    AzureStack "azurestack" "Microsoft Azure Stack",
    Brightbox "brightbox" "Brightbox",
    CloudStack "cloudstack" "Apache CloudStack",
    DigitalOcean "digitalocean" "DigitalOcean",
    Exoscale "exoscale" "Exoscale",
    File "file" "A file named by the environment, for tests",
    Gcp "gcp" "Google Cloud",
    Hetzner "hetzner" "Hetzner Cloud",
    HyperV "hyperv" "Microsoft Hyper-V",
    IbmCloud "ibmcloud" "IBM Cloud",
    KubeVirt "kubevirt" "KubeVirt",
    Metal "metal" "Bare metal: no config but from kernel argument or `user.ign`",
    Nutanix "nutanix" "Nutanix AHV",
    NvidiaBlueField "nvidiabluefield" "NVIDIA BlueField",
    OpenStack "openstack" "OpenStack",
    OracleCloud "oraclecloud" "Oracle Cloud",
    Packet "packet" "Equinix Metal",
    PowerVs "powervs" "IBM Power Systems Virtual Server",
    ProxmoxVe "proxmoxve" "Proxmox VE",
    Qemu "qemu" "QEMU",
    Scaleway "scaleway" "Scaleway",
    UpCloud "upcloud" "UpCloud",
    VirtualBox "virtualbox" "VirtualBox",
    VMware "vmware" "VMware",
    Vultr "vultr" "Vultr",
    Zvm "zvm" "z/VM",
}

impl Platform {
    /// What knows how to ask it.
    pub fn provider(self) -> Box<dyn Provider> {
        match self {
            Self::File => Box::new(file::File),
            Self::Metal => Box::new(metal::Metal),
            Self::Qemu => Box::new(qemu::Qemu),
            Self::Akamai
            | Self::Aliyun
            | Self::AppleHv
            | Self::Aws
            | Self::Azure
            | Self::AzureStack
            | Self::Brightbox
            | Self::CloudStack
            | Self::DigitalOcean
            | Self::Exoscale
            | Self::Gcp
            | Self::Hetzner
            | Self::HyperV
            | Self::IbmCloud
            | Self::KubeVirt
            | Self::Nutanix
            | Self::NvidiaBlueField
            | Self::OpenStack
            | Self::OracleCloud
            | Self::Packet
            | Self::PowerVs
            | Self::ProxmoxVe
            | Self::Scaleway
            | Self::UpCloud
            | Self::VirtualBox
            | Self::VMware
            | Self::Vultr
            | Self::Zvm => Box::new(NotBuilt(self)),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// Not the id of a platform.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{id:?} is not a platform; platforms are {}", ids())]
pub struct UnknownPlatform {
    /// What was given
    pub id: String,
}

fn ids() -> String {
    let ids: Vec<&str> = Platform::ALL.iter().map(|platform| platform.id()).collect();
    ids.join(", ")
}

impl FromStr for Platform {
    type Err = UnknownPlatform;

    fn from_str(id: &str) -> Result<Self, UnknownPlatform> {
        Self::ALL
            .iter()
            .copied()
            .find(|platform| platform.id() == id)
            .ok_or_else(|| UnknownPlatform { id: id.to_owned() })
    }
}

/// What a provider may use.
pub struct Transports<'a> {
    /// Resources by URL, with the settings that count before a config is known
    pub fetcher: &'a dyn Fetcher,
    /// HTTP in dialects: methods, headers, statuses that are tried again
    pub web: &'a Web<'a>,
    /// Timeouts for `web`
    pub settings: &'a Settings,
    /// Whether the stage does without the network: a provider that needs it then answers
    /// [`FetchError::NeedNet`]
    pub offline: bool,
    /// Files of the running system
    pub files: &'a dyn HostFiles,
    /// Programs
    pub runner: &'a dyn Runner,
    /// Time
    pub clock: &'a dyn Clock,
    /// Environment
    pub environment: &'a Environment,
}

/// What a platform has for this machine.
#[derive(Debug)]
pub enum Answer {
    /// It is not this platform after all: nothing else is asked, and that is an error
    NoProvider,
    /// What it holds
    Config {
        /// The config as it is there; zero bytes = no config
        bytes: Secret<Vec<u8>>,
        /// Files that the files stage writes for it (hyperv)
        output_files: Vec<types::File>,
    },
}

impl Answer {
    /// A config without files beside it.
    pub fn config(bytes: Vec<u8>) -> Self {
        Self::Config {
            bytes: Secret::new(bytes),
            output_files: Vec::new(),
        }
    }

    /// The platform is asked and holds nothing.
    pub fn empty() -> Self {
        Self::config(Vec::new())
    }
}

/// A platform that can be asked. All but [`Provider::config`] have a default that suits most.
pub trait Provider {
    /// The config for this machine.
    fn config(&self, transports: &Transports<'_>) -> Result<Answer, PlatformError>;

    /// Runs at the start of every stage, before any config is known (aws).
    fn init(&self, _: &Transports<'_>) -> Result<(), PlatformError> {
        Ok(())
    }

    /// Runs at the end of every stage, with its error if it failed (packet).
    fn status(
        &self,
        _: &Transports<'_>,
        _stage: crate::stages::Stage,
        _failure: Option<&str>,
    ) -> Result<(), PlatformError> {
        Ok(())
    }

    /// Takes the config out of the platform's reach after a successful run (vmware, virtualbox). `false`: the platform
    /// has no way to do that.
    fn delete_config(&self, _: &Transports<'_>) -> Result<bool, PlatformError> {
        Ok(false)
    }
}

/// Why a platform gave no config.
#[derive(Debug, thiserror::Error)]
pub enum PlatformError {
    /// It is known, and not built yet.
    #[error("the platform {0} is not built yet; give the config by ignition.config.url or as user.ign")]
    NotBuilt(Platform),
    /// Fetching failed.
    #[error("cannot get the config from the platform")]
    Fetch(#[source] FetchError),
    /// A file is missing.
    #[error("there is no config at {}: {hint}", path.display())]
    Missing {
        /// Which
        path: PathBuf,
        /// What to do about it
        hint: &'static str,
    },
    /// The system refused.
    #[error("cannot read {}", path.display())]
    Io {
        /// Which file
        path: PathBuf,
        /// What the system said
        #[source]
        source: io::Error,
    },
    /// The platform hands out something that cannot be right.
    #[error("{}: {problem}", path.display())]
    Form {
        /// Where
        path: PathBuf,
        /// What is wrong
        problem: String,
    },
    /// A kernel module is not there.
    #[error("cannot load the kernel module {module}: put it into the initrd")]
    Module {
        /// Which
        module: &'static str,
        /// Why
        #[source]
        source: RunError,
    },
}

/// Reads a file; a missing one is `None`.
fn read(files: &dyn HostFiles, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, PlatformError> {
    files.read(path, limit).map_err(|source| PlatformError::Io {
        path: path.to_path_buf(),
        source,
    })
}

#[cfg(test)]
mod tests;
