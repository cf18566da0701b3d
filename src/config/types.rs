//! The config in its newest form (spec 3.7.0-experimental; field-identical to 3.6.0).
//!
//! There is one set of structs. Older specs are read into the same structs through the field table of
//! [`super::schema`], which hides what a version does not know; [`super::translate`] then does what the upward
//! translation of that version does. `Option` means that absent and zero differ; plain fields are keys.
//!
//! Field order is Go's (alphabetical by Go name, embedded fields first): the cache file is written in it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Text that must not be shown: password hashes, header values, source URLs (a `data:` URL is the content).
///
/// Serialises as itself, because the cache file needs it; `Debug` shows only the length.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub String);

impl Hidden {
    /// The text itself. Whoever calls this answers for where it goes.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<hidden, {} bytes>", self.0.len())
    }
}

impl From<&str> for Hidden {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Self(text)
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes fields by reference"
)]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// A whole config, `$`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Config {
    /// `ignition`
    pub ignition: Ignition,
    /// `kernelArguments`
    pub kernel_arguments: KernelArguments,
    /// `passwd`
    pub passwd: Passwd,
    /// `storage`
    pub storage: Storage,
    /// `systemd`
    pub systemd: Systemd,
}

/// `ignition`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Ignition {
    /// `ignition.config`
    pub config: IgnitionConfig,
    /// `ignition.proxy`
    pub proxy: Proxy,
    /// `ignition.security`
    pub security: Security,
    /// `ignition.timeouts`
    pub timeouts: Timeouts,
    /// `ignition.version`
    pub version: String,
}

/// `ignition.config`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct IgnitionConfig {
    /// `ignition.config.merge`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub merge: Vec<Resource>,
    /// `ignition.config.replace`
    pub replace: Resource,
}

/// Something that is fetched: a config, a CA bundle, file contents, a key file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Resource {
    /// `compression`: absent, empty or `gzip`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
    /// `httpHeaders`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http_headers: Vec<HttpHeader>,
    /// `source`: an URL; empty means "nothing, successfully"
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Hidden>,
    /// `verification`
    pub verification: Verification,
}

/// One entry of `httpHeaders`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpHeader {
    /// Header name, the key
    pub name: String,
    /// Header value; absent means "remove the parent's" in a merge
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Hidden>,
}

/// `verification`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Verification {
    /// `sha512-<128 hex>` or `sha256-<64 hex>`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

/// `ignition.proxy`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Proxy {
    /// `httpProxy`: may hold credentials
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_proxy: Option<Hidden>,
    /// `httpsProxy`: may hold credentials
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https_proxy: Option<Hidden>,
    /// `noProxy`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub no_proxy: Vec<String>,
}

/// `ignition.security`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Security {
    /// `ignition.security.tls`
    pub tls: Tls,
}

/// `ignition.security.tls`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Tls {
    /// `certificateAuthorities`: PEM bundles added to the system's
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificate_authorities: Vec<Resource>,
}

/// `ignition.timeouts`, in seconds
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Timeouts {
    /// `httpResponseHeaders`: default 10, 0 = none
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_response_headers: Option<i64>,
    /// `httpTotal`: 0 = unlimited
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_total: Option<i64>,
}

/// `kernelArguments`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct KernelArguments {
    /// `shouldExist`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub should_exist: Vec<String>,
    /// `shouldNotExist`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub should_not_exist: Vec<String>,
}

/// `passwd`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Passwd {
    /// `passwd.groups`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<PasswdGroup>,
    /// `passwd.users`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<PasswdUser>,
}

/// One entry of `passwd.groups`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PasswdGroup {
    /// `gid`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<i64>,
    /// `name`, the key
    pub name: String,
    /// `passwordHash`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<Hidden>,
    /// `shouldExist`: default true
    #[serde(skip_serializing_if = "Option::is_none")]
    pub should_exist: Option<bool>,
    /// `system`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<bool>,
}

/// One entry of `passwd.users`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PasswdUser {
    /// `gecos`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gecos: Option<String>,
    /// `groups`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// `homeDir`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub home_dir: Option<String>,
    /// `name`, the key
    pub name: String,
    /// `noCreateHome`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_create_home: Option<bool>,
    /// `noLogInit`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_log_init: Option<bool>,
    /// `noUserGroup`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_user_group: Option<bool>,
    /// `passwordHash`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<Hidden>,
    /// `primaryGroup`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_group: Option<String>,
    /// `sshAuthorizedKeys`
    #[serde(rename = "sshAuthorizedKeys", skip_serializing_if = "Vec::is_empty")]
    pub ssh_authorized_keys: Vec<String>,
    /// `shell`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// `shouldExist`: default true
    #[serde(skip_serializing_if = "Option::is_none")]
    pub should_exist: Option<bool>,
    /// `system`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<bool>,
    /// `uid`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<i64>,
}

/// `storage`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Storage {
    /// `storage.directories`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub directories: Vec<Directory>,
    /// `storage.disks`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<Disk>,
    /// `storage.files`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<File>,
    /// `storage.filesystems`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filesystems: Vec<Filesystem>,
    /// `storage.links`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// `storage.luks`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub luks: Vec<Luks>,
    /// `storage.raid`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub raid: Vec<Raid>,
}

/// `user` or `group` of a node: an id or a name, not both
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeOwner {
    /// numeric id
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// account name, looked up in the target
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// One entry of `storage.directories`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Directory {
    /// `group`
    pub group: NodeOwner,
    /// `overwrite`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overwrite: Option<bool>,
    /// `path`, the key
    pub path: String,
    /// `user`
    pub user: NodeOwner,
    /// `mode`: permission bits incl. special bits
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<i64>,
}

/// One entry of `storage.files`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct File {
    /// `group`
    pub group: NodeOwner,
    /// `overwrite`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overwrite: Option<bool>,
    /// `path`, the key
    pub path: String,
    /// `user`
    pub user: NodeOwner,
    /// `append`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub append: Vec<Resource>,
    /// `contents`
    pub contents: Resource,
    /// `mode`: permission bits incl. special bits
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<i64>,
}

/// One entry of `storage.links`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Link {
    /// `group`
    pub group: NodeOwner,
    /// `overwrite`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overwrite: Option<bool>,
    /// `path`, the key
    pub path: String,
    /// `user`
    pub user: NodeOwner,
    /// `hard`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hard: Option<bool>,
    /// `target`, verbatim
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// One entry of `storage.disks`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Disk {
    /// `device`, the key
    pub device: String,
    /// `partitions`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<Partition>,
    /// `wipeTable`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wipe_table: Option<bool>,
}

/// One entry of `partitions`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Partition {
    /// `guid`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guid: Option<String>,
    /// `label`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// `number`: 0 = next free
    #[serde(skip_serializing_if = "is_zero")]
    pub number: i64,
    /// `resize`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<bool>,
    /// `shouldExist`: default true
    #[serde(skip_serializing_if = "Option::is_none")]
    pub should_exist: Option<bool>,
    /// `sizeMiB`: MiB; 0 = as large as possible
    #[serde(rename = "sizeMiB", skip_serializing_if = "Option::is_none")]
    pub size_mib: Option<i64>,
    /// `startMiB`: MiB; 0 = start of the largest block
    #[serde(rename = "startMiB", skip_serializing_if = "Option::is_none")]
    pub start_mib: Option<i64>,
    /// `typeGuid`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub type_guid: Option<String>,
    /// `wipePartitionEntry`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wipe_partition_entry: Option<bool>,
}

/// One entry of `storage.filesystems`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Filesystem {
    /// `device`, the key
    pub device: String,
    /// `format`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// `label`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// `mountOptions`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mount_options: Vec<String>,
    /// `options`: mkfs arguments
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// `path`: mount point
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `uuid`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// `wipeFilesystem`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wipe_filesystem: Option<bool>,
}

/// One entry of `storage.luks`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Luks {
    /// `cex`
    pub cex: Cex,
    /// `clevis`
    pub clevis: Clevis,
    /// `device`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// `discard`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discard: Option<bool>,
    /// `keyFile`
    pub key_file: Resource,
    /// `label`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// `name`, the key
    pub name: String,
    /// `openOptions`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub open_options: Vec<String>,
    /// `options`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// `uuid`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// `wipeVolume`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wipe_volume: Option<bool>,
}

/// `cex`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Cex {
    /// `enabled`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// `clevis`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Clevis {
    /// `custom`
    pub custom: ClevisCustom,
    /// `tang`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tang: Vec<Tang>,
    /// `threshold`: default 1
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<i64>,
    /// `tpm2`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpm2: Option<bool>,
}

/// `clevis.custom`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClevisCustom {
    /// `config`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// `needsNetwork`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needs_network: Option<bool>,
    /// `pin`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
}

/// One entry of `clevis.tang`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Tang {
    /// `advertisement`: JSON
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertisement: Option<String>,
    /// `thumbprint`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thumbprint: Option<String>,
    /// `url`, the key
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
}

/// One entry of `storage.raid`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Raid {
    /// `devices`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// `level`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// `name`, the key
    pub name: String,
    /// `options`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// `spares`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spares: Option<i64>,
}

/// `systemd`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Systemd {
    /// `systemd.units`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<Unit>,
}

/// One entry of `systemd.units`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Unit {
    /// `contents`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contents: Option<Hidden>,
    /// `dropins`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dropins: Vec<Dropin>,
    /// `enabled`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// `mask`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<bool>,
    /// `name`, the key
    pub name: String,
}

/// One entry of `dropins`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Dropin {
    /// `contents`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contents: Option<Hidden>,
    /// `name`, the key
    pub name: String,
}
