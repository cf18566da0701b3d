use std::time::Duration;

use super::*;
use crate::fetch::Fetch;
use crate::fetch::fake::FakeHttp;
use crate::sys::clock::FakeClock;
use crate::sys::host::FakeHost;
use crate::sys::runner::FakeRunner;

const FLATCAR: &str = "/sys/firmware/qemu_fw_cfg/by_name/opt/org.flatcar-linux/config";
const COREOS: &str = "/sys/firmware/qemu_fw_cfg/by_name/opt/com.coreos/config";

struct World {
    files: FakeHost,
    environment: Environment,
    runner: FakeRunner,
}

impl World {
    fn new(files: FakeHost) -> Self {
        Self {
            files,
            environment: Environment::default(),
            runner: FakeRunner::new(),
        }
    }

    fn ask(&self, platform: Platform) -> Result<Vec<u8>, PlatformError> {
        let (http, clock) = (FakeHttp::default(), FakeClock::new());
        let settings = Settings::at_start(Duration::from_secs(120));
        let fetch = Fetch::new(&http, &self.files, &clock, "/oem".into(), settings.clone());
        let transports = Transports {
            fetcher: &fetch,
            web: &fetch.web(),
            settings: &settings,
            offline: true,
            files: &self.files,
            runner: &self.runner,
            clock: &clock,
            environment: &self.environment,
        };
        match platform.provider().config(&transports)? {
            Answer::NoProvider => panic!("no provider"),
            Answer::Config { bytes, output_files } => {
                assert!(output_files.is_empty());
                Ok(bytes.into_inner())
            }
        }
    }
}

#[test]
fn every_id_is_its_own_and_no_other_is_one() {
    assert_eq!(Platform::ALL.len(), 31);
    for platform in Platform::ALL {
        assert_eq!(platform.id().parse::<Platform>().as_ref(), Ok(platform));
    }
    let mut sorted = Platform::ALL.to_vec();
    sorted.sort_by_key(|platform| platform.id());
    assert_eq!(sorted, Platform::ALL);
    for id in [
        "",
        "equinixmetal",
        "vsphere",
        "stackit",
        "ec2",
        "gce",
        "pxe",
        "vagrant",
        "cloudsigma",
        "QEMU",
        "qemu ",
    ] {
        let error = id.parse::<Platform>().unwrap_err().to_string();
        assert!(
            error.contains(&format!("{id:?}")) && error.contains("proxmoxve"),
            "{error}"
        );
    }
}

#[test]
fn what_is_not_built_says_so_by_its_id() {
    let world = World::new(FakeHost::new());
    for platform in Platform::ALL {
        if matches!(platform, Platform::File | Platform::Metal | Platform::Qemu) {
            continue;
        }
        let error = world.ask(*platform).unwrap_err().to_string();
        assert!(
            error.contains(&format!("platform {platform} is not built yet")),
            "{error}"
        );
    }
}

#[test]
fn metal_has_no_config() {
    assert_eq!(World::new(FakeHost::new()).ask(Platform::Metal).unwrap(), b"");
}

#[test]
fn file_reads_what_the_environment_names() {
    let mut world = World::new(
        FakeHost::new()
            .file("config.ign", "here")
            .file("/a/b.ign", "there"),
    );
    assert_eq!(world.ask(Platform::File).unwrap(), b"here");
    world.environment.config_file = Some("/a/b.ign".into());
    assert_eq!(world.ask(Platform::File).unwrap(), b"there");
    world.environment.config_file = Some("/missing".into());
    let error = world.ask(Platform::File).unwrap_err().to_string();
    assert!(
        error.contains("/missing") && error.contains("IGNITION_CONFIG_FILE"),
        "{error}"
    );
    world.files = FakeHost::new().file("/missing", "").deny("/missing");
    assert!(matches!(world.ask(Platform::File), Err(PlatformError::Io { .. })));
}

fn entry(files: FakeHost, entry: &str, size: &str, raw: &str) -> FakeHost {
    files
        .file(format!("{entry}/size"), size)
        .file(format!("{entry}/raw"), raw)
}

#[test]
fn qemu_takes_flatcars_name_before_the_other() {
    let none = || FakeHost::new().directory("/sys/firmware/qemu_fw_cfg/by_name");
    let table = [
        (none(), ""),
        (entry(none(), COREOS, "3\n", "two"), "two"),
        (entry(none(), FLATCAR, "3\n", "one"), "one"),
        (
            entry(entry(none(), COREOS, "3\n", "two"), FLATCAR, "3\n", "one"),
            "one",
        ),
        // An entry that is there and empty is an answer.
        (entry(entry(none(), COREOS, "3\n", "two"), FLATCAR, "0\n", ""), ""),
    ];
    for (files, want) in table {
        let world = World::new(files);
        assert_eq!(world.ask(Platform::Qemu).unwrap(), want.as_bytes());
        assert!(world.runner.commands().is_empty());
    }
}

#[test]
fn qemu_refuses_an_entry_that_is_not_as_long_as_it_says() {
    let table = [
        ("2\n", "abc", "more than the 2 bytes"),
        ("4\n", "abc", "ends after 3 of 4 bytes"),
        ("x\n", "abc", "no number"),
        ("99999999999\n", "abc", "at most"),
    ];
    for (size, raw, part) in table {
        let world = World::new(entry(FakeHost::new(), COREOS, size, raw));
        let error = world.ask(Platform::Qemu).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let world = World::new(FakeHost::new().file(format!("{COREOS}/size"), "3"));
    assert!(
        world
            .ask(Platform::Qemu)
            .unwrap_err()
            .to_string()
            .contains("missing")
    );
}

#[test]
fn qemu_loads_the_module_if_the_device_is_not_there() {
    let mut world = World::new(FakeHost::new());
    assert_eq!(world.ask(Platform::Qemu).unwrap(), b"");
    assert_eq!(world.runner.commands(), ["modprobe qemu_fw_cfg"]);
    world.runner = FakeRunner::new().fail(1, "not found");
    let error = world.ask(Platform::Qemu).unwrap_err();
    assert!(matches!(error, PlatformError::Module { .. }), "{error}");
}
