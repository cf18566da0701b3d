//! Accounts, units, and what is refused on purpose.

use serde_json::{Map, Value, json};

use super::Maker;

impl Maker {
    pub(super) fn accounts(&mut self) {
        let mut joinable: Vec<String> = ["sudo", "docker", "wheel", "kvm"].map(str::to_owned).to_vec();
        for index in 0..self.random.below(3) {
            let name = format!("g{index}");
            let mut group = json!({"name": name});
            if self.random.percent(50) {
                group["gid"] = json!(3000 + index);
            }
            if self.random.percent(30) {
                group["system"] = json!(true);
            }
            if self.random.percent(20) {
                group["passwordHash"] = json!("$6$salt$group");
            }
            self.sections.groups.push(group);
            joinable.push(name.clone());
            self.group_names.push(name);
        }
        match self.random.below(5) {
            0 => self
                .sections
                .groups
                .push(json!({"name": "unused", "shouldExist": false})),
            1 => self.sections.groups.push(json!({"name": "docker", "gid": 2233})),
            2 => self.sections.groups.push(json!({"name": "kvm"})),
            _ => {}
        }
        for index in 0..self.random.below(3) {
            let name = format!("u{index}");
            let mut user = Map::new();
            user.insert("name".into(), json!(name));
            let homeless = self.random.percent(30);
            if homeless {
                user.insert("noCreateHome".into(), json!(true));
            }
            let system = self.random.percent(25);
            if system {
                user.insert("system".into(), json!(true));
            }
            let defaults = std::fs::read_to_string(self.root.at("etc/default/useradd")).unwrap_or_default();
            let place = if defaults.contains("HOME=/srv/people") {
                "/srv/people"
            } else {
                "/home"
            };
            let mut home = format!("{place}/{name}");
            if self.random.percent(40) {
                home = self
                    .random
                    .pick(&["/srv/homes/{}", "/var/lib/{}", "/home/other-{}", "/opt/link/{}"])
                    .replace("{}", &name);
                user.insert("homeDir".into(), json!(home));
            }
            let mut own_group = !std::fs::read_to_string(self.root.at("etc/login.defs"))
                .unwrap()
                .contains("USERGROUPS_ENAB no");
            if self.random.percent(25) {
                user.insert("noUserGroup".into(), json!(true));
                own_group = false;
            }
            if self.random.percent(30) {
                user.insert("primaryGroup".into(), json!(self.random.pick(&joinable)));
                own_group = false;
            }
            if self.random.percent(50) {
                let groups: Vec<&String> = joinable.iter().filter(|_| self.random.percent(40)).collect();
                user.insert("groups".into(), json!(groups));
            }
            if self.random.percent(40) {
                user.insert("uid".into(), json!(2000 + index));
            }
            if self.random.percent(40) {
                user.insert("gecos".into(), json!("Some One, Room 1"));
            }
            if self.random.percent(40) {
                user.insert("shell".into(), json!("/bin/zsh"));
            }
            if self.random.percent(40) {
                user.insert(
                    "passwordHash".into(),
                    json!(*self.random.pick(&["", "$6$salt$user", "*"])),
                );
            }
            if self.random.percent(20) {
                user.insert("noLogInit".into(), json!(true));
            }
            if !homeless && self.random.percent(60) {
                user.insert(
                    "sshAuthorizedKeys".into(),
                    json!(["ssh-ed25519 AAAA one", "ssh-ed25519 BBBB two"]),
                );
            }
            self.sections.users.push(Value::Object(user));
            self.user_names.push(name.clone());
            if own_group {
                self.group_names.push(name);
            }
            if !homeless && self.random.percent(50) {
                // Whether /opt/link is a link or not, this is the same place.
                self.bases
                    .push(vec![home.clone(), home.replace("/opt/link", "/opt/real")]);
            }
        }
        match self.random.below(8) {
            0 => self
                .sections
                .users
                .push(json!({"name": "gone", "shouldExist": false})),
            1 => self
                .sections
                .users
                .push(json!({"name": "core", "groups": ["docker"], "shell": "/bin/sh"})),
            2 => self
                .sections
                .users
                .push(json!({"name": "core", "uid": 501, "gecos": "New"})),
            3 => self
                .sections
                .users
                .push(json!({"name": "core", "homeDir": "/srv/core"})),
            4 => self.sections.users.push(
                json!({"name": "core", "sshAuthorizedKeys": ["ssh-ed25519 CCCC"], "passwordHash": "$6$x$y"}),
            ),
            5 => self.sections.users.push(json!({"name": "core"})),
            6 => self
                .sections
                .users
                .push(json!({"name": "ntp", "shell": "/bin/sh"})),
            _ => {}
        }
    }

    pub(super) fn units(&mut self) {
        let text =
            "[Unit]\nDescription=x\n[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n";
        for index in 0..self.random.below(4) {
            let mut unit = Map::new();
            unit.insert(
                "name".into(),
                json!(format!(
                    "a{index}.{}",
                    self.random.pick(&["service", "socket", "timer"])
                )),
            );
            if self.random.percent(70) {
                unit.insert(
                    "contents".into(),
                    json!(*self.random.pick(&[text, "", "[Unit]\nDescription=y\n"])),
                );
            }
            if self.random.percent(40) {
                unit.insert(
                    "dropins".into(),
                    json!([
                        {"name": "10-a.conf", "contents": "[Unit]\nAfter=b.service\n"},
                        {"name": "20-empty.conf", "contents": ""},
                        {"name": "30-absent.conf"},
                    ]),
                );
            }
            match self.random.below(5) {
                0 => unit.insert("enabled".into(), json!(true)),
                1 => unit.insert("mask".into(), json!(true)),
                2 => unit.insert("mask".into(), json!(false)),
                _ => None,
            };
            self.sections.units.push(Value::Object(unit));
        }
        if self.random.percent(25) {
            self.root.file("usr/lib/systemd/system/t@.service", text, 0o644);
            self.sections
                .units
                .push(json!({"name": "t@x.service", "enabled": true}));
            self.sections
                .units
                .push(json!({"name": "t@y.service", "enabled": true}));
        }
        match self.random.below(8) {
            0 => self
                .sections
                .units
                .push(json!({"name": "old.service", "enabled": false})),
            1 => self
                .sections
                .units
                .push(json!({"name": "idle.service", "enabled": false})),
            2 => self
                .sections
                .units
                .push(json!({"name": "extra.service", "enabled": true})),
            3 => {
                self.root.link("etc/systemd/system/masked.service", "/dev/null");
                let mask = self.random.percent(50);
                self.sections
                    .units
                    .push(json!({"name": "masked.service", "mask": mask}));
            }
            4 => {
                self.root.link("etc/systemd/system/masked.service", "/dev/null");
                self.sections
                    .units
                    .push(json!({"name": "masked.service", "contents": text}));
            }
            5 => {
                self.root
                    .file("etc/systemd/system/there.service", "[Unit]\n", 0o600);
                let mask = self.random.percent(50);
                self.sections
                    .units
                    .push(json!({"name": "there.service", "contents": text, "mask": mask}));
            }
            6 => {
                self.root.file(
                    "etc/systemd/system-preset/20-ignition.preset",
                    "enable extra.service\n",
                    0o644,
                );
                self.sections
                    .units
                    .push(json!({"name": "extra.service", "enabled": true}));
            }
            _ => {}
        }
    }

    /// Adds one entry that cannot be carried out, and says where it is.
    pub(super) fn refusal(&mut self) -> String {
        let files = self.sections.files.len();
        let links = self.sections.links.len();
        match self.random.below(8) {
            0 => {
                self.sections
                    .files
                    .push(json!({"path": "/etc/passwd", "contents": {"source": "data:,x"}}));
                format!("storage.files[{files}].path")
            }
            1 => {
                self.sections
                    .files
                    .push(json!({"path": "/refused", "user": {"name": "whoever"}}));
                format!("storage.files[{files}].user.name")
            }
            2 => {
                self.sections
                    .links
                    .push(json!({"path": "/refused", "target": "/not/there", "hard": true}));
                format!("storage.links[{links}].target")
            }
            3 => {
                self.sections.links.push(json!({"path": "/etc", "target": "/x"}));
                format!("storage.links[{links}].path")
            }
            4 => {
                self.sections.files.push(json!({"path": "/opt/real/same"}));
                self.sections.files.push(json!({"path": "/abs/same"}));
                format!("storage.files[{}].path", files + 1)
            }
            5 => {
                self.sections.files.push(json!({"path": "/srv/loop/x"}));
                format!("storage.files[{files}].path")
            }
            6 => {
                let users = self.sections.users.len();
                self.sections
                    .users
                    .push(json!({"name": "misled", "groups": ["nobodies"]}));
                format!("passwd.users[{users}].groups[0]")
            }
            _ => {
                let directories = self.sections.directories.len();
                self.sections.directories.push(json!({"path": "/etc/group"}));
                format!("storage.directories[{directories}].path")
            }
        }
    }
}
