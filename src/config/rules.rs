//! What each field of the config means, for who asks (`ignition-rs explain`): what it does, what happens to what is there
//! already, and what counts if nobody says it. Since when a field exists, and how configs are merged, says the schema
//! ([`super::schema`]).

/// The rule of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Struct and name, `File.mode`
    pub field: &'static str,
    /// What counts if nobody says it; empty: nothing
    pub default: &'static str,
    /// What it does
    pub text: &'static str,
}

const fn rule(field: &'static str, default: &'static str, text: &'static str) -> Rule {
    Rule { field, default, text }
}

/// The rule of a field of a struct, by its name there.
pub fn of(shape: &str, field: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| {
        let name = rule.field.split_once('.');
        name == Some((shape, field))
    })
}

/// The rules, in the order of the schema.
pub const RULES: &[Rule] = &[
    rule(
        "Config.ignition",
        "",
        "The config itself: version, other configs, how things are fetched.",
    ),
    rule(
        "Config.kernelArguments",
        "",
        "Arguments of the kernel from the next boot on; the helper of the distribution sets them and reboots if something changes.",
    ),
    rule("Config.passwd", "", "Groups, then users, before all files."),
    rule(
        "Config.storage",
        "",
        "Disks, arrays, volumes, filesystems, in this order; then directories, files, links.",
    ),
    rule("Config.systemd", "", "Units, after files."),
    rule(
        "Ignition.config",
        "",
        "Other configs that this one is merged with, or replaced by.",
    ),
    rule(
        "Ignition.proxy",
        "",
        "Proxies of everything that is fetched after this config is read.",
    ),
    rule("Ignition.security", "", "How servers are trusted."),
    rule("Ignition.timeouts", "", "How long fetching may take."),
    rule(
        "Ignition.version",
        "",
        "The spec that the config is written for. The merged config has the newest.",
    ),
    rule(
        "IgnitionConfig.merge",
        "none",
        "Configs that are laid over this one in order, each with those that it refers to itself.",
    ),
    rule(
        "IgnitionConfig.replace",
        "none",
        "A config that takes the place of this one; nothing else of this one counts.",
    ),
    rule(
        "Resource.compression",
        "none",
        "gzip: what is fetched is unpacked; the hash is of what was unpacked.",
    ),
    rule(
        "Resource.httpHeaders",
        "none",
        "Headers of the request; for http and https only.",
    ),
    rule(
        "Resource.source",
        "an empty file; for a file that exists, what it holds",
        "URL of the contents: data, http, https, tftp, s3, arn, gs, oem. A file that exists is refused if it has a source and overwrite is not true.",
    ),
    rule("Resource.verification", "", "What the contents must be."),
    rule("HttpHeader.name", "", "Name of the header; the key."),
    rule(
        "HttpHeader.value",
        "",
        "Its value. An entry without one takes the header of the parent config away.",
    ),
    rule(
        "Verification.hash",
        "not checked",
        "sha512-HEX or, since 3.1.0, sha256-HEX of the contents after unpacking; others fail the boot. Merged by itself: who changes the source must change it, too.",
    ),
    rule("Proxy.httpProxy", "none", "Proxy for http."),
    rule("Proxy.httpsProxy", "none", "Proxy for https."),
    rule(
        "Proxy.noProxy",
        "none",
        "Hosts, domains, networks that are reached without a proxy.",
    ),
    rule("Security.tls", "", "How TLS servers are trusted."),
    rule(
        "Tls.certificateAuthorities",
        "those of the system",
        "PEM bundles that count beside those of the system.",
    ),
    rule(
        "Timeouts.httpResponseHeaders",
        "10",
        "Seconds until a server answers; then it is tried again. 0: no limit.",
    ),
    rule(
        "Timeouts.httpTotal",
        "0",
        "Seconds for one fetch with all its attempts. 0: no limit.",
    ),
    rule(
        "KernelArguments.shouldExist",
        "none",
        "Arguments that are added if they are not there. One that a later config names in shouldNotExist is out of this list.",
    ),
    rule(
        "KernelArguments.shouldNotExist",
        "none",
        "Arguments that are removed if they are there. One that a later config names in shouldExist is out of this list.",
    ),
    rule("Passwd.groups", "none", "Groups, before users."),
    rule("Passwd.users", "none", "Users."),
    rule(
        "PasswdGroup.gid",
        "one that is free; of a group that exists, its own",
        "Its id; changed if the group exists.",
    ),
    rule(
        "PasswdGroup.name",
        "",
        "Its name; the key. A group that exists is changed in what the config says, and otherwise stays.",
    ),
    rule(
        "PasswdGroup.passwordHash",
        "none; of a group that exists, its own",
        "Its password, as a hash.",
    ),
    rule(
        "PasswdGroup.shouldExist",
        "true",
        "false: the group is deleted if it exists.",
    ),
    rule(
        "PasswdGroup.system",
        "false",
        "Whether a new group has an id of the system's range; one that exists stays.",
    ),
    rule(
        "PasswdUser.gecos",
        "none; of a user that exists, their own",
        "The comment; changed if the user exists.",
    ),
    rule(
        "PasswdUser.groups",
        "none",
        "The supplementary groups; they replace those of a user that exists. Each must exist.",
    ),
    rule(
        "PasswdUser.homeDir",
        "/home/NAME; of a user that exists, their own",
        "The home; that of a user that exists is moved there.",
    ),
    rule(
        "PasswdUser.name",
        "",
        "The login name; the key. A user that exists is changed in what the config says, and otherwise stays.",
    ),
    rule(
        "PasswdUser.noCreateHome",
        "false",
        "true: a new user gets no home.",
    ),
    rule(
        "PasswdUser.noLogInit",
        "false",
        "true: a new user is not put into lastlog and faillog.",
    ),
    rule(
        "PasswdUser.noUserGroup",
        "false",
        "true: a new user gets no group of their own name.",
    ),
    rule(
        "PasswdUser.passwordHash",
        "locked; of a user that exists, their own",
        "The password, as a hash; empty: locked.",
    ),
    rule(
        "PasswdUser.primaryGroup",
        "a group of the user's name; of a user that exists, their own",
        "The primary group; it must exist.",
    ),
    rule(
        "PasswdUser.sshAuthorizedKeys",
        "none",
        "Keys for .ssh/authorized_keys.d/ignition in the home; the file is replaced, others stay.",
    ),
    rule(
        "PasswdUser.shell",
        "that of useradd; of a user that exists, their own",
        "The login shell.",
    ),
    rule(
        "PasswdUser.shouldExist",
        "true",
        "false: the user is deleted with the home if they exist; nothing else of the entry counts.",
    ),
    rule(
        "PasswdUser.system",
        "false",
        "Whether a new user has an id of the system's range; one that exists stays.",
    ),
    rule(
        "PasswdUser.uid",
        "one that is free; of a user that exists, their own",
        "The id; changed if the user exists.",
    ),
    rule(
        "Storage.directories",
        "none",
        "Directories; a path is in one of directories, files, links: that of the last config that names it.",
    ),
    rule("Storage.disks", "none", "Partition tables."),
    rule(
        "Storage.files",
        "none",
        "Files; a path is in one of directories, files, links: that of the last config that names it.",
    ),
    rule("Storage.filesystems", "none", "Filesystems, swap space."),
    rule(
        "Storage.links",
        "none",
        "Links; a path is in one of directories, files, links: that of the last config that names it.",
    ),
    rule("Storage.luks", "none", "Encrypted volumes."),
    rule("Storage.raid", "none", "RAID arrays."),
    rule(
        "NodeOwner.id",
        "0; of what exists, its own",
        "Id of the owner. Not together with name.",
    ),
    rule(
        "NodeOwner.name",
        "that of id",
        "Name of the owner, looked up in the new root after accounts are made; it must exist.",
    ),
    rule(
        "Directory.group",
        "",
        "Its group; set on a directory that exists, too.",
    ),
    rule(
        "Directory.overwrite",
        "false",
        "true: whatever is at the path is removed first, with all below it. Otherwise a directory that exists stays with what is in it, and anything else is refused.",
    ),
    rule(
        "Directory.path",
        "",
        "Where; the key. Missing parents are made, 0755 of root. A link on the way leads inside the root.",
    ),
    rule(
        "Directory.user",
        "",
        "Its owner; set on a directory that exists, too.",
    ),
    rule(
        "Directory.mode",
        "0755 (493); of a directory that exists, its own",
        "Permission bits, as a decimal number in JSON. Special bits (setuid, setgid, sticky) count since 3.6.0.",
    ),
    rule("File.group", "", "Its group; set on a file that exists, too."),
    rule(
        "File.overwrite",
        "false",
        "true: whatever is at the path is removed first; needs contents. Otherwise a file that exists is refused if contents has a source, and anything else always.",
    ),
    rule(
        "File.path",
        "",
        "Where; the key. Missing parents are made, 0755 of root. A link on the way leads inside the root.",
    ),
    rule("File.user", "", "Its owner; set on a file that exists, too."),
    rule(
        "File.append",
        "none",
        "What is added at the end, in order; the file is made if it is missing.",
    ),
    rule(
        "File.contents",
        "",
        "What the file holds. Merged field by field: a new source keeps the parent's hash, compression and headers.",
    ),
    rule(
        "File.mode",
        "0644 (420); of a file that exists, its own",
        "Permission bits, as a decimal number in JSON. Special bits (setuid, setgid, sticky) count since 3.6.0.",
    ),
    rule(
        "Link.group",
        "",
        "Its group, when it is made. Not of a hard link.",
    ),
    rule(
        "Link.overwrite",
        "false",
        "true: whatever is at the path is removed first. Otherwise a link that exists must have the same target; it then stays as it is.",
    ),
    rule(
        "Link.path",
        "",
        "Where; the key. Missing parents are made, 0755 of root. No directory or file of the config may lie below it.",
    ),
    rule("Link.user", "", "Its owner, when it is made. Not of a hard link."),
    rule(
        "Link.hard",
        "false",
        "true: a hard link; made after everything else, its target must exist by then.",
    ),
    rule(
        "Link.target",
        "",
        "Where it leads: of a symbolic link verbatim, of a hard link a path inside the root.",
    ),
    rule(
        "Disk.device",
        "",
        "Path of the disk; the key. It is waited for. A disk that is in use as a whole is refused.",
    ),
    rule("Disk.partitions", "none", "Partitions that matter; others stay."),
    rule(
        "Disk.wipeTable",
        "false",
        "true: the table is wiped first, all partitions go; refused if one is in use. Otherwise a table that is no GPT is refused.",
    ),
    rule(
        "Partition.guid",
        "random; of a partition that exists, not compared",
        "GUID of the partition; compared with that of one that exists.",
    ),
    rule(
        "Partition.label",
        "none; of a partition that exists, not compared",
        "Its name; compared with that of one that exists, which is found by its number only.",
    ),
    rule(
        "Partition.number",
        "0",
        "Number in the table; the key. 0: the next free one, a new partition. If it exists and matches it stays; if not, see wipePartitionEntry and resize.",
    ),
    rule(
        "Partition.resize",
        "false",
        "true: a partition of which only the size differs keeps its place and gets the new size. What is on it is not resized.",
    ),
    rule(
        "Partition.shouldExist",
        "true",
        "false: it is deleted if it exists; needs wipePartitionEntry.",
    ),
    rule(
        "Partition.sizeMiB",
        "all that is free from its start; of a partition that exists, not compared",
        "Size in MiB; 0: all that is free from its start. Compared with that of one that exists.",
    ),
    rule(
        "Partition.startMiB",
        "where the largest free block begins; of a partition that exists, not compared",
        "Start in MiB; 0: where the largest free block begins. Compared with that of one that exists.",
    ),
    rule(
        "Partition.typeGuid",
        "Linux filesystem; of a partition that exists, not compared",
        "GUID of its type; compared with that of one that exists.",
    ),
    rule(
        "Partition.wipePartitionEntry",
        "false",
        "true: a partition that exists and does not match, or should not exist, is deleted. Otherwise it is refused, and nothing is written.",
    ),
    rule(
        "Filesystem.device",
        "",
        "Path of the device; the key. It is waited for.",
    ),
    rule(
        "Filesystem.format",
        "none is made",
        "ext4, btrfs, xfs, vfat, swap, none. Without wipeFilesystem, what matches in format, label and uuid is kept, a blank device is formatted, and anything else is refused.",
    ),
    rule(
        "Filesystem.label",
        "none; of what exists, not compared",
        "Its label; one that exists must have it to be kept.",
    ),
    rule(
        "Filesystem.mountOptions",
        "none",
        "Options of mount while files are written; not for later boots.",
    ),
    rule(
        "Filesystem.options",
        "none",
        "Arguments of mkfs; not compared with what exists.",
    ),
    rule(
        "Filesystem.path",
        "not mounted",
        "Where it is mounted while files are written. Later boots need a mount unit.",
    ),
    rule(
        "Filesystem.uuid",
        "random; of what exists, not compared",
        "Its UUID; one that exists must have it to be kept.",
    ),
    rule(
        "Filesystem.wipeFilesystem",
        "false",
        "true: what is on the device is wiped and the filesystem made, always; refused if the device is in use. Otherwise see format.",
    ),
    rule("Luks.cex", "", "A secure key of IBM Z."),
    rule(
        "Luks.clevis",
        "",
        "What opens it on later boots. A volume with it is never kept: it is made, or refused.",
    ),
    rule("Luks.device", "", "Path of the device; it is waited for."),
    rule(
        "Luks.discard",
        "false",
        "Whether trim goes through. A volume that exists must have it so to be kept.",
    ),
    rule(
        "Luks.keyFile",
        "a generated key",
        "The key, kept in /etc/luks/NAME unless clevis opens the volume. A volume that exists must open with it to be kept.",
    ),
    rule(
        "Luks.label",
        "none; of a volume that exists, not compared",
        "Label in its header; one that exists must have it to be kept.",
    ),
    rule("Luks.name", "", "Name of the mapping, /dev/mapper/NAME; the key."),
    rule(
        "Luks.openOptions",
        "none",
        "Arguments of luksOpen, kept in the header.",
    ),
    rule(
        "Luks.options",
        "none",
        "Arguments of luksFormat; not compared with what exists.",
    ),
    rule(
        "Luks.uuid",
        "random; of a volume that exists, not compared",
        "Its UUID; one that exists must have it to be kept.",
    ),
    rule(
        "Luks.wipeVolume",
        "false",
        "true: what is on the device is wiped and the volume made. Otherwise a LUKS2 volume that matches is kept, a blank device is formatted, and anything else is refused.",
    ),
    rule(
        "Cex.enabled",
        "false",
        "true: the volume has a secure key; not with clevis or keyFile.",
    ),
    rule(
        "Clevis.custom",
        "none",
        "A pin with its own configuration; not with tang, tpm2 or threshold.",
    ),
    rule("Clevis.tang", "none", "Servers that open the volume."),
    rule(
        "Clevis.threshold",
        "1",
        "How many of the servers and the TPM are needed.",
    ),
    rule(
        "Clevis.tpm2",
        "false",
        "Whether the machine's TPM opens the volume.",
    ),
    rule("ClevisCustom.config", "", "Configuration of the pin, JSON."),
    rule(
        "ClevisCustom.needsNetwork",
        "false",
        "Whether the network is needed to open the volume on later boots.",
    ),
    rule(
        "ClevisCustom.pin",
        "",
        "Name of the pin. tpm2, tang, sss before 3.6.0, any since.",
    ),
    rule(
        "Tang.advertisement",
        "fetched from the server",
        "What the server would advertise, JSON; then it need not be reached.",
    ),
    rule(
        "Tang.thumbprint",
        "",
        "Thumbprint of the server's key; mandatory.",
    ),
    rule("Tang.url", "", "URL of the server; the key."),
    rule(
        "Raid.devices",
        "",
        "Its members, spares included. What they hold is lost when it is made.",
    ),
    rule(
        "Raid.level",
        "",
        "linear, raid0, raid1, raid4, raid5, raid6, raid10 and their short names.",
    ),
    rule(
        "Raid.name",
        "",
        "Name of the array; the key. One that exists with this name, level and members is kept; otherwise it is made, over what the devices hold.",
    ),
    rule(
        "Raid.options",
        "none",
        "Arguments of mdadm; not compared with what exists.",
    ),
    rule("Raid.spares", "0", "How many of the devices are spares."),
    rule("Systemd.units", "none", "Units in /etc/systemd/system."),
    rule(
        "Unit.contents",
        "not written",
        "The unit file; it replaces one that exists. Empty: not written.",
    ),
    rule("Unit.dropins", "none", "Files in NAME.d."),
    rule(
        "Unit.enabled",
        "as the image's presets have it",
        "A line of the preset file: true enables the unit at the first boot; false disables it if it is enabled.",
    ),
    rule(
        "Unit.mask",
        "left as it is",
        "true: the unit is a link to /dev/null, whatever it was. false: such a link is removed.",
    ),
    rule("Unit.name", "", "Name with its type; the key."),
    rule(
        "Dropin.contents",
        "not written",
        "The file; it replaces one that exists.",
    ),
    rule("Dropin.name", "", "Name, with .conf; the key."),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::schema::{CONFIG, Kind, Shape};
    use super::*;

    fn fields(shape: &'static Shape, into: &mut BTreeSet<String>) {
        for field in shape.fields {
            into.insert(format!("{}.{}", shape.name, field.name));
            if let Kind::Object(below) | Kind::Objects(below, _) = field.kind {
                fields(below, into);
            }
        }
    }

    #[test]
    fn every_field_of_the_schema_has_one_rule_and_none_is_left_over() {
        let mut wanted = BTreeSet::new();
        fields(&CONFIG, &mut wanted);
        let there: BTreeSet<String> = RULES.iter().map(|rule| rule.field.to_owned()).collect();
        assert_eq!(there, wanted);
        assert_eq!(there.len(), RULES.len(), "one of them twice");
        for rule in RULES {
            let (shape, field) = rule.field.split_once('.').unwrap();
            assert_eq!(of(shape, field), Some(rule));
            assert!(
                rule.text.ends_with('.') && !rule.default.ends_with('.'),
                "{rule:?}"
            );
        }
        assert_eq!(of("File", "modes"), None);
    }
}
