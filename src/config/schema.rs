//! What every spec version knows: the fields of every struct, as data (spec/config.md 4).
//!
//! The structs of [`super::types`] are those of the newest spec. A [`Shape`] says how one of them looks in one place of the
//! config and since when; a struct that stands in several places (`Resource`) has a shape for each, because spec 3.0 knew
//! three kinds of it. The tree of shapes is what decoding, checking for unused keys and indexing walk along, so none of them
//! goes deeper than the spec does.
//!
//! Fields stand in the order of Go's structs, which is the order of reports.

use super::version::Version;
use Version::{V3_0, V3_1, V3_2, V3_3, V3_4, V3_5};

/// An object of the config, in one place.
#[derive(Debug)]
pub struct Shape {
    /// The struct's name in [`super::types`]
    pub name: &'static str,
    /// Its fields
    pub fields: &'static [Field],
}

/// One field of a [`Shape`].
#[derive(Debug)]
pub struct Field {
    /// Name in JSON
    pub name: &'static str,
    /// The first version that has it
    pub since: Version,
    /// What its value is
    pub kind: Kind,
    /// Whether absent and zero differ
    pub presence: Presence,
}

/// What a value is.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A string
    Text,
    /// A boolean
    Flag,
    /// An integer of 64 bits
    Integer,
    /// An object
    Object(&'static Shape),
    /// A list of strings
    Texts(Unique),
    /// A list of objects
    Objects(&'static Shape, Unique),
}

/// Whether a version can tell an absent field from one with a zero value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It can
    Optional,
    /// It cannot: these are the keys of list entries
    Plain,
    /// It can since this version; the types follow the newest
    PlainBefore(Version),
}

/// What makes an entry of a list the same as another document's (spec/config.md 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unique {
    /// Nothing: lists are put one after the other
    Append,
    /// The entry itself
    Whole,
    /// This field of it
    By(&'static str),
    /// A partition's number, else its label
    Partition,
}

impl Presence {
    /// Whether absent and zero are the same in `version`.
    pub fn is_plain(self, version: Version) -> bool {
        match self {
            Self::Optional => false,
            Self::Plain => true,
            Self::PlainBefore(since) => version < since,
        }
    }
}

impl Shape {
    /// The field that Go's decoder stores a key's value in: of this name, or of one that differs only in case.
    pub fn field(&self, version: Version, key: &str) -> Option<(usize, &'static Field)> {
        let mut folded = None;
        for (index, field) in self.fields.iter().enumerate() {
            if field.since > version {
                continue;
            }
            if field.name == key {
                return Some((index, field));
            }
            if folded.is_none() && folds_to(key, field.name) {
                folded = Some((index, field));
            }
        }
        folded
    }

    /// Whether `version` has a field of exactly this name.
    pub fn has(&self, version: Version, key: &str) -> bool {
        self.fields
            .iter()
            .any(|field| field.since <= version && field.name == key)
    }

    /// The fields that `version` has.
    pub fn fields_of(&self, version: Version) -> impl Iterator<Item = &'static Field> {
        self.fields.iter().filter(move |field| field.since <= version)
    }
}

/// Whether a key equals an ASCII name under simple Unicode case folding: beside the other case of a letter these are
/// the long s and the Kelvin sign.
fn folds_to(key: &str, name: &str) -> bool {
    if key.len() == name.len() {
        // Both special letters are longer than the ASCII letter that they stand for.
        return key.eq_ignore_ascii_case(name);
    }
    key.len() > name.len()
        && key
            .chars()
            .map(|character| match character {
                '\u{17f}' => 's',
                '\u{212a}' => 'k',
                other => other.to_ascii_lowercase(),
            })
            .eq(name.chars().map(|character| character.to_ascii_lowercase()))
}

const fn field(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        since: V3_0,
        kind,
        presence: Presence::Optional,
    }
}

const fn text(name: &'static str) -> Field {
    field(name, Kind::Text)
}

const fn flag(name: &'static str) -> Field {
    field(name, Kind::Flag)
}

const fn integer(name: &'static str) -> Field {
    field(name, Kind::Integer)
}

const fn object(name: &'static str, shape: &'static Shape) -> Field {
    field(name, Kind::Object(shape)).plain()
}

const fn texts(name: &'static str, unique: Unique) -> Field {
    field(name, Kind::Texts(unique))
}

const fn objects(name: &'static str, shape: &'static Shape, key: &'static str) -> Field {
    field(name, Kind::Objects(shape, Unique::By(key)))
}

impl Field {
    const fn since(mut self, version: Version) -> Self {
        self.since = version;
        self
    }

    const fn plain(mut self) -> Self {
        self.presence = Presence::Plain;
        self
    }

    const fn plain_before(mut self, version: Version) -> Self {
        self.presence = Presence::PlainBefore(version);
        self
    }

    /// An object that was a pointer in Go before it became a plain struct: the opposite of [`Self::plain_before`].
    const fn nullable_before_3_3(mut self) -> Self {
        self.presence = Presence::Optional;
        self
    }

    /// Whether `null` stands for "no object" here, rather than for an empty one.
    pub fn is_nullable(&self, version: Version) -> bool {
        matches!(self.kind, Kind::Object(_)) && self.presence == Presence::Optional && version < V3_3
    }
}

/// `$`
pub static CONFIG: Shape = Shape {
    name: "Config",
    fields: &[
        object("ignition", &IGNITION),
        object("kernelArguments", &KERNEL_ARGUMENTS).since(V3_3),
        object("passwd", &PASSWD),
        object("storage", &STORAGE),
        object("systemd", &SYSTEMD),
    ],
};

static IGNITION: Shape = Shape {
    name: "Ignition",
    fields: &[
        object("config", &IGNITION_CONFIG),
        object("proxy", &PROXY).since(V3_1),
        object("security", &SECURITY),
        object("timeouts", &TIMEOUTS),
        text("version").plain(),
    ],
};

static IGNITION_CONFIG: Shape = Shape {
    name: "IgnitionConfig",
    fields: &[
        objects("merge", &CONFIG_REFERENCE, "source"),
        object("replace", &CONFIG_REFERENCE),
    ],
};

static CONFIG_REFERENCE: Shape = Shape {
    name: "Resource",
    fields: &[
        text("compression").since(V3_1),
        objects("httpHeaders", &HTTP_HEADER, "name").since(V3_1),
        text("source"),
        object("verification", &VERIFICATION),
    ],
};

static CA_REFERENCE: Shape = Shape {
    name: "Resource",
    fields: &[
        text("compression").since(V3_1),
        objects("httpHeaders", &HTTP_HEADER, "name").since(V3_1),
        text("source").plain_before(V3_1),
        object("verification", &VERIFICATION),
    ],
};

/// File contents and, since they came with 3.2, key files
static CONTENTS: Shape = Shape {
    name: "Resource",
    fields: &[
        text("compression"),
        objects("httpHeaders", &HTTP_HEADER, "name").since(V3_1),
        text("source"),
        object("verification", &VERIFICATION),
    ],
};

static HTTP_HEADER: Shape = Shape {
    name: "HttpHeader",
    fields: &[text("name").plain(), text("value")],
};

static VERIFICATION: Shape = Shape {
    name: "Verification",
    fields: &[text("hash")],
};

static PROXY: Shape = Shape {
    name: "Proxy",
    fields: &[
        text("httpProxy"),
        text("httpsProxy"),
        texts("noProxy", Unique::Whole),
    ],
};

static SECURITY: Shape = Shape {
    name: "Security",
    fields: &[object("tls", &TLS)],
};

static TLS: Shape = Shape {
    name: "Tls",
    fields: &[objects("certificateAuthorities", &CA_REFERENCE, "source")],
};

static TIMEOUTS: Shape = Shape {
    name: "Timeouts",
    fields: &[integer("httpResponseHeaders"), integer("httpTotal")],
};

static KERNEL_ARGUMENTS: Shape = Shape {
    name: "KernelArguments",
    fields: &[
        texts("shouldExist", Unique::Whole),
        texts("shouldNotExist", Unique::Whole),
    ],
};

static PASSWD: Shape = Shape {
    name: "Passwd",
    fields: &[
        objects("groups", &PASSWD_GROUP, "name"),
        objects("users", &PASSWD_USER, "name"),
    ],
};

static PASSWD_GROUP: Shape = Shape {
    name: "PasswdGroup",
    fields: &[
        integer("gid"),
        text("name").plain(),
        text("passwordHash"),
        flag("shouldExist").since(V3_2),
        flag("system"),
    ],
};

static PASSWD_USER: Shape = Shape {
    name: "PasswdUser",
    fields: &[
        text("gecos"),
        texts("groups", Unique::Whole),
        text("homeDir"),
        text("name").plain(),
        flag("noCreateHome"),
        flag("noLogInit"),
        flag("noUserGroup"),
        text("passwordHash"),
        text("primaryGroup"),
        texts("sshAuthorizedKeys", Unique::Whole),
        text("shell"),
        flag("shouldExist").since(V3_2),
        flag("system"),
        integer("uid"),
    ],
};

static STORAGE: Shape = Shape {
    name: "Storage",
    fields: &[
        objects("directories", &DIRECTORY, "path"),
        objects("disks", &DISK, "device"),
        objects("files", &FILE, "path"),
        objects("filesystems", &FILESYSTEM, "device"),
        objects("links", &LINK, "path"),
        objects("luks", &LUKS, "name").since(V3_2),
        objects("raid", &RAID, "name"),
    ],
};

static NODE_OWNER: Shape = Shape {
    name: "NodeOwner",
    fields: &[integer("id"), text("name")],
};

static DIRECTORY: Shape = Shape {
    name: "Directory",
    fields: &[
        object("group", &NODE_OWNER),
        flag("overwrite"),
        text("path").plain(),
        object("user", &NODE_OWNER),
        integer("mode"),
    ],
};

static FILE: Shape = Shape {
    name: "File",
    fields: &[
        object("group", &NODE_OWNER),
        flag("overwrite"),
        text("path").plain(),
        object("user", &NODE_OWNER),
        field("append", Kind::Objects(&CONTENTS, Unique::Append)),
        object("contents", &CONTENTS),
        integer("mode"),
    ],
};

static LINK: Shape = Shape {
    name: "Link",
    fields: &[
        object("group", &NODE_OWNER),
        flag("overwrite"),
        text("path").plain(),
        object("user", &NODE_OWNER),
        flag("hard"),
        text("target").plain_before(V3_3),
    ],
};

static DISK: Shape = Shape {
    name: "Disk",
    fields: &[
        text("device").plain(),
        field("partitions", Kind::Objects(&PARTITION, Unique::Partition)),
        flag("wipeTable"),
    ],
};

static PARTITION: Shape = Shape {
    name: "Partition",
    fields: &[
        text("guid"),
        text("label"),
        integer("number").plain(),
        flag("resize").since(V3_2),
        flag("shouldExist"),
        integer("sizeMiB"),
        integer("startMiB"),
        text("typeGuid"),
        flag("wipePartitionEntry"),
    ],
};

static FILESYSTEM: Shape = Shape {
    name: "Filesystem",
    fields: &[
        text("device").plain(),
        text("format"),
        text("label"),
        texts("mountOptions", Unique::Append).since(V3_1),
        texts("options", Unique::Append),
        text("path"),
        text("uuid"),
        flag("wipeFilesystem"),
    ],
};

static LUKS: Shape = Shape {
    name: "Luks",
    fields: &[
        object("cex", &CEX).since(V3_5),
        object("clevis", &CLEVIS).nullable_before_3_3(),
        text("device"),
        flag("discard").since(V3_4),
        object("keyFile", &CONTENTS),
        text("label"),
        text("name").plain(),
        texts("openOptions", Unique::Whole).since(V3_4),
        texts("options", Unique::Append),
        text("uuid"),
        flag("wipeVolume"),
    ],
};

static CEX: Shape = Shape {
    name: "Cex",
    fields: &[flag("enabled")],
};

static CLEVIS: Shape = Shape {
    name: "Clevis",
    fields: &[
        object("custom", &CLEVIS_CUSTOM).nullable_before_3_3(),
        objects("tang", &TANG, "url"),
        integer("threshold"),
        flag("tpm2"),
    ],
};

static CLEVIS_CUSTOM: Shape = Shape {
    name: "ClevisCustom",
    fields: &[
        text("config").plain_before(V3_3),
        flag("needsNetwork"),
        text("pin").plain_before(V3_3),
    ],
};

static TANG: Shape = Shape {
    name: "Tang",
    fields: &[
        text("advertisement").since(V3_4),
        text("thumbprint"),
        text("url").plain(),
    ],
};

static RAID: Shape = Shape {
    name: "Raid",
    fields: &[
        texts("devices", Unique::Whole),
        text("level").plain_before(V3_3),
        text("name").plain(),
        texts("options", Unique::Append),
        integer("spares"),
    ],
};

static SYSTEMD: Shape = Shape {
    name: "Systemd",
    fields: &[objects("units", &UNIT, "name")],
};

static UNIT: Shape = Shape {
    name: "Unit",
    fields: &[
        text("contents"),
        objects("dropins", &DROPIN, "name"),
        flag("enabled"),
        flag("mask"),
        text("name").plain(),
    ],
};

static DROPIN: Shape = Shape {
    name: "Dropin",
    fields: &[text("contents"), text("name").plain()],
};

#[cfg(test)]
mod tests;
