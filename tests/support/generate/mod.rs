//! Pairs of a config and a root, each made from a seed. A pair is valid by construction, or it is meant to be refused at a
//! known place.

mod sections;

use std::io::Write as _;

use base64::Engine as _;
use serde_json::{Map, Value, json};
use sha2::Digest as _;

use super::random::Random;
use super::root::Root;

/// A config and a root.
#[derive(Debug)]
pub(crate) struct Pair {
    /// The root
    pub(crate) root: Root,
    /// The config
    pub(crate) config: Value,
    /// Where the config is refused on this root; `None`: it is carried out
    pub(crate) refused: Option<String>,
}

impl Pair {
    /// Makes the pair of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut maker = Maker::new(seed);
        maker.settings();
        maker.accounts();
        maker.present_nodes();
        maker.new_nodes();
        maker.units();
        let refused = maker.random.percent(12).then(|| maker.refusal());
        if maker.random.percent(8) {
            maker.root.file(
                "etc/.ignition-result.json",
                "{\"provisioningDate\": \"2001\", \"provisioningBootID\": \"x\", \"y\": [1, {}]}\n",
                0o600,
            );
        }
        Self {
            root: maker.root,
            config: assemble(maker.version, &maker.sections),
            refused,
        }
    }

    /// The config as text.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string_pretty(&self.config).unwrap()
    }

    /// The config without what has no identity (design.md 2): appends to files that are there, contents without
    /// `overwrite`, directories with it. Planned again after a run, it keeps everything.
    pub(crate) fn again(&self) -> Value {
        let mut config = self.config.clone();
        for file in list(&mut config, "files") {
            let has_source = !file["contents"]["source"].is_null();
            let file = file.as_object_mut().unwrap();
            if has_source {
                file.insert("overwrite".into(), json!(true));
            } else {
                file.remove("append");
            }
        }
        for directory in list(&mut config, "directories") {
            directory.as_object_mut().unwrap().remove("overwrite");
        }
        config
    }

    /// Whether the same config is refused after a run, because the spec wants it so: files that are there by then.
    pub(crate) fn refused_again(&self) -> bool {
        let mut config = self.config.clone();
        list(&mut config, "files")
            .iter()
            .any(|file| !file["contents"]["source"].is_null() && file["overwrite"] != json!(true))
    }
}

fn list<'a>(config: &'a mut Value, name: &str) -> &'a mut [Value] {
    config["storage"]
        .as_object_mut()
        .unwrap()
        .entry(name)
        .or_insert_with(|| json!([]))
        .as_array_mut()
        .unwrap()
}

fn assemble(version: &str, sections: &Sections) -> Value {
    json!({
        "ignition": {"version": version},
        "passwd": {"users": sections.users, "groups": sections.groups},
        "storage": {"directories": sections.directories, "files": sections.files, "links": sections.links},
        "systemd": {"units": sections.units},
    })
}

#[derive(Debug, Default)]
struct Sections {
    users: Vec<Value>,
    groups: Vec<Value>,
    directories: Vec<Value>,
    files: Vec<Value>,
    links: Vec<Value>,
    units: Vec<Value>,
}

struct Maker {
    random: Random,
    root: Root,
    version: &'static str,
    sections: Sections,
    /// Directories that nodes can be put in: all ways to spell each
    bases: Vec<Vec<String>>,
    user_names: Vec<String>,
    group_names: Vec<String>,
    /// Files that hard links can name
    link_targets: Vec<String>,
    count: usize,
}

const MODES: &[u32] = &[
    0o644, 0o600, 0o755, 0o700, 0o640, 0o4755, 0o2755, 0o1777, 0o7777, 0o444, 0,
];

impl Maker {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let root = Root::system();
        root.dir("opt/real", 0o755).file("opt/real/keep", "kept\n", 0o644);
        root.link("opt/link", "real")
            .link("abs", "/opt/real")
            .link("chain", "abs")
            .link("opt/up", "../opt/./real");
        root.dir("var/lib/app", 0o750).own("var/lib/app", 500, 27);
        root.link("srv/dangling", "/srv/later/on")
            .link("srv/loop", "loop2")
            .link("srv/loop2", "loop");
        let version = random.pick(&["3.3.0", "3.4.0", "3.5.0", "3.6.0", "3.7.0-experimental"]);
        let spelled = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        Self {
            root,
            version,
            sections: Sections::default(),
            bases: vec![
                spelled(&["/opt"]),
                spelled(&["/opt/real", "/opt/link", "/abs", "/chain", "/opt/up"]),
                spelled(&["/var/lib/app"]),
                spelled(&["/srv/dangling", "/srv/later/on"]),
                spelled(&["/new/deep/er"]),
            ],
            user_names: spelled(&["root", "core", "daemon", "ntp"]),
            group_names: spelled(&["root", "sudo", "users", "kvm"]),
            link_targets: spelled(&["/opt/real/keep", "/abs/keep"]),
            count: 0,
            random,
        }
    }

    /// What distributions do differently about accounts and homes.
    fn settings(&mut self) {
        let base = "PASS_MAX_DAYS 99999\nUID_MIN 1000\nSYS_UID_MIN 101\nSYS_UID_MAX 999\nGID_MIN 1000\nSYS_GID_MIN 101\nSYS_GID_MAX 999\n";
        let more = match self.random.below(6) {
            0 => "UMASK 077\nUSERGROUPS_ENAB yes\n",
            1 => "UMASK\t\t027\nHOME_MODE\t0711\nUSERGROUPS_ENAB\tyes\n",
            2 => "USERGROUPS_ENAB yes\n",
            3 => "USERGROUPS_ENAB no\nUMASK 022\n",
            _ => "",
        };
        if !more.is_empty() {
            self.root.file("etc/login.defs", format!("{base}{more}"), 0o644);
        }
        if self.random.percent(15) {
            // As on systems whose /home lives on /var.
            std::fs::rename(self.root.at("home"), self.root.at("var/home")).unwrap();
            self.root
                .link("home", self.random.pick::<&str>(&["/var/home", "var/home"]));
        }
        if self.random.percent(15) {
            self.root.file(
                "etc/default/useradd",
                "SHELL=/bin/dash\nHOME=/srv/people\nSKEL=/opt/skel\n",
                0o644,
            );
            // No directories: useradd 4.13 leaves them empty where the root has no /proc, and says nothing.
            self.root
                .file("opt/skel/f", "skeleton\n", 0o604)
                .link("opt/skel/l", "f");
        }
        if self.random.percent(10) {
            std::fs::remove_file(self.root.at("etc/default/useradd")).unwrap();
        }
    }

    /// A path that no other entry has.
    fn fresh(&mut self) -> String {
        self.count += 1;
        let base = self.random.below(self.bases.len());
        let base = self.random.pick(&self.bases[base]).clone();
        let name = self.random.pick(&["n", "n n", "ü", ".hidden", "a+b", "%41"]);
        let below = self
            .random
            .pick(&["", "", "", "sub{}/", "p{}/q/"])
            .replace("{}", &self.count.to_string());
        format!("{base}/{below}{name}{}", self.count)
    }

    fn mode(&mut self) -> Value {
        if self.random.percent(50) {
            json!(self.random.pick(MODES))
        } else {
            Value::Null
        }
    }

    /// Adds mode and owners, or leaves them open.
    fn access(&mut self, entry: &mut Map<String, Value>, with_mode: bool) {
        if with_mode {
            entry.insert("mode".into(), self.mode());
        }
        for (key, names) in [
            ("user", self.user_names.clone()),
            ("group", self.group_names.clone()),
        ] {
            match self.random.below(4) {
                0 => entry.insert(key.into(), json!({"id": self.random.below(70000)})),
                1 => entry.insert(key.into(), json!({"name": self.random.pick(&names)})),
                _ => None,
            };
        }
    }

    /// A resource of known bytes.
    fn resource(&mut self) -> Value {
        let bytes = match self.random.below(4) {
            0 => Vec::new(),
            1 => b"plain text, with , and % and \n".to_vec(),
            2 => self.random.bytes(200),
            _ => format!("line {}\n", self.random.below(1000))
                .repeat(self.random.below(400) + 1)
                .into_bytes(),
        };
        let mut resource = Map::new();
        let zipped = self.random.percent(25);
        let sent = if zipped { gzip(&bytes) } else { bytes.clone() };
        let url = match self.random.below(3) {
            0 => format!(
                "data:;base64,{}",
                base64::engine::general_purpose::STANDARD.encode(&sent)
            ),
            1 => format!("data:text/plain;charset=utf-8,{}", percent(&sent)),
            _ => format!("data:,{}", percent(&sent)),
        };
        resource.insert("source".into(), json!(url));
        if zipped {
            resource.insert("compression".into(), json!("gzip"));
        } else if self.random.percent(20) {
            resource.insert("compression".into(), json!(""));
        }
        match self.random.below(5) {
            0 => resource.insert(
                "verification".into(),
                json!({"hash": format!("sha512-{}", hex(&sha2::Sha512::digest(&bytes)))}),
            ),
            1 => resource.insert(
                "verification".into(),
                json!({"hash": format!("sha256-{}", hex(&sha2::Sha256::digest(&bytes)))}),
            ),
            _ => None,
        };
        Value::Object(resource)
    }

    fn appends(&mut self) -> Value {
        let count = self.random.below(3) + 1;
        Value::Array((0..count).map(|_| self.resource()).collect())
    }

    /// Overwriting needs a source by the spec.
    fn add_file(&mut self, path: &str, overwrite: bool, contents: bool, append: bool) {
        let mut file = Map::new();
        file.insert("path".into(), json!(path));
        if overwrite {
            file.insert("overwrite".into(), json!(true));
        } else if self.random.percent(20) {
            file.insert("overwrite".into(), json!(false));
        }
        if contents {
            file.insert("contents".into(), self.resource());
        } else if overwrite {
            file.insert("contents".into(), json!({"source": ""}));
        }
        if append {
            file.insert("append".into(), self.appends());
        }
        self.access(&mut file, true);
        self.sections.files.push(Value::Object(file));
    }

    fn add_directory(&mut self, path: &str, overwrite: bool) {
        let mut directory = Map::new();
        directory.insert("path".into(), json!(path));
        if overwrite {
            directory.insert("overwrite".into(), json!(true));
        }
        self.access(&mut directory, true);
        self.sections.directories.push(Value::Object(directory));
    }

    fn add_link(&mut self, path: &str, target: &str, hard: bool, overwrite: bool) {
        let mut link = Map::new();
        link.insert("path".into(), json!(path));
        link.insert("target".into(), json!(target));
        if overwrite {
            link.insert("overwrite".into(), json!(true));
        }
        if hard {
            link.insert("hard".into(), json!(true));
        } else {
            self.access(&mut link, false);
        }
        self.sections.links.push(Value::Object(link));
    }

    /// Entries where nothing is yet.
    fn new_nodes(&mut self) {
        for _ in 0..self.random.below(10) {
            let path = self.fresh();
            match self.random.below(10) {
                0 | 1 => {
                    self.add_directory(&path, false);
                    if self.random.percent(60) {
                        self.bases.push(vec![path]);
                    }
                }
                2 => {
                    let target = self
                        .random
                        .pick(&["/opt/real", "../x", "nowhere", "/etc//passwd", "./a/../b"])
                        .to_string();
                    let overwrite = self.random.percent(20);
                    self.add_link(&path, &target, false, overwrite);
                }
                3 => {
                    let target = self.random.pick(&self.link_targets).clone();
                    self.add_link(&path, &target, true, false);
                }
                kind => {
                    let (contents, append) = (kind != 4, self.random.percent(25));
                    let overwrite = self.random.percent(20);
                    self.add_file(&path, overwrite, contents, append);
                    self.link_targets.push(path);
                }
            }
        }
    }

    /// Nodes that are there, and what the config wants in their place.
    fn present_nodes(&mut self) {
        for index in 0..self.random.below(8) {
            let inside = format!("srv/old/e{index}");
            let path = format!("/{inside}");
            let owned = self.random.percent(40);
            match self.random.below(6) {
                0 | 1 => {
                    self.root.file(
                        &inside,
                        "there before\n",
                        *self.random.pick(&[0o644, 0o600, 0o4755]),
                    );
                    match self.random.below(8) {
                        0 => self.add_file(&path, false, false, true),
                        1 => self.add_file(&path, false, false, false),
                        2 => self.add_file(&path, true, false, false),
                        3 => self.add_file(&path, true, false, true),
                        4 => self.add_directory(&path, true),
                        5 => self.add_link(&path, "elsewhere", false, true),
                        6 => self.add_link(&path, "/opt/real/keep", true, true),
                        _ => self.add_file(&path, true, true, false),
                    }
                }
                2 => {
                    self.root.dir(&inside, *self.random.pick(&[0o755, 0o2775]));
                    if self.random.percent(60) {
                        self.root
                            .file(&format!("{inside}/a"), "a", 0o644)
                            .link(&format!("{inside}/b/c"), "/etc");
                    }
                    match self.random.below(5) {
                        0 => self.add_directory(&path, true),
                        1 => self.add_file(&path, true, true, false),
                        2 => self.add_link(&path, "/etc", false, true),
                        3 => {
                            self.add_directory(&path, false);
                            self.bases.push(vec![path]);
                        }
                        _ => self.add_directory(&path, false),
                    }
                }
                3 => {
                    self.root.link(
                        &inside,
                        self.random
                            .pick::<&str>(&["/etc/passwd", "../../opt/real", "nothing"]),
                    );
                    let target = std::fs::read_link(self.root.at(&inside))
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned();
                    match self.random.below(5) {
                        0 => self.add_link(&path, &target, false, false),
                        1 => self.add_link(&path, &format!("{target}/."), false, true),
                        2 => self.add_link(&path, "other", false, true),
                        3 => self.add_file(&path, true, true, true),
                        _ => self.add_directory(&path, true),
                    }
                }
                4 => {
                    self.root.pipe(&inside);
                    match self.random.below(3) {
                        0 => self.add_file(&path, true, true, false),
                        1 => self.add_directory(&path, true),
                        _ => self.add_link(&path, "x", false, true),
                    }
                }
                _ => {
                    self.root
                        .file(&inside, "two names\n", 0o644)
                        .hard_link(&format!("{inside}.twin"), &inside);
                    let twin = format!("{path}.twin");
                    match self.random.below(4) {
                        0 => self.add_link(&path, &twin, true, false),
                        1 => self.add_file(&path, true, true, false),
                        2 => self.add_file(&path, false, false, true),
                        _ => self.link_targets.push(twin),
                    }
                }
            }
            if owned {
                self.root.own(&inside, 500, 27);
            }
        }
    }
}

/// Compresses.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Escapes everything but letters and digits.
pub(crate) fn percent(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(*byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
