use std::cell::RefCell;
use std::path::PathBuf;

use super::super::changed::Entry;
use super::*;
use crate::sys::clock::FakeClock;
use crate::sys::runner::FakeRunner;

/// A udev of the test's own: `/run` and `/sys` in a directory; `/dev/sda` has the number 8:0, `/dev/sda3` 8:3, and so have
/// the links that tests make of them.
struct Scene {
    directory: tempfile::TempDir,
    clock: FakeClock,
    systemctl: FakeRunner,
    /// Links and nodes that are there, with their numbers
    numbers: RefCell<BTreeMap<String, u64>>,
}

impl Scene {
    fn new(parts: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut numbers = BTreeMap::new();
        for part in 0..=parts {
            let node = match part {
                0 => "/dev/sda".to_owned(),
                part => format!("/dev/sda{part}"),
            };
            numbers.insert(node, libc::makedev(8, part));
            let device = directory.path().join(format!("sys/dev/block/8:{part}"));
            fs::create_dir_all(&device).unwrap();
            fs::write(device.join("uevent"), "").unwrap();
        }
        fs::create_dir_all(directory.path().join("run/udev/data")).unwrap();
        fs::write(directory.path().join("run/udev/control"), "").unwrap();
        Self {
            directory,
            clock: FakeClock::new(),
            systemctl: FakeRunner::new(),
            numbers: RefCell::new(numbers),
        }
    }

    fn run(&self) -> PathBuf {
        self.directory.path().join("run")
    }

    fn with<T>(&self, act: impl FnOnce(&Announcer<'_>) -> T) -> T {
        let number = |path: &str| self.numbers.borrow().get(path).copied();
        act(&Announcer {
            runner: &self.systemctl,
            clock: &self.clock,
            run: &self.run(),
            sysfs: &self.directory.path().join("sys"),
            limit: Duration::from_secs(90),
            number: &number,
        })
    }

    /// What was asked of the kernel last about a device: the name of the event.
    fn asked(&self, part: u32) -> Option<String> {
        let file = self
            .directory
            .path()
            .join(format!("sys/dev/block/8:{part}/uevent"));
        let text = fs::read_to_string(file).unwrap();
        text.strip_prefix("change ").map(str::to_owned)
    }

    /// udev writes down a partition.
    fn write(&self, part: u32, label: &str) {
        let text = format!(
            "S:disk/by-partlabel/{label}\nE:ID_PART_ENTRY_NAME={label}\nE:ID_PART_ENTRY_UUID=guid-{part}\n\
             E:ID_PART_ENTRY_TYPE=type\nE:ID_PART_ENTRY_OFFSET=2048\nE:ID_PART_ENTRY_SIZE=8\nG:systemd\n"
        );
        fs::write(self.run().join(format!("udev/data/b8:{part}")), text).unwrap();
    }
}

fn partition(part: u32, label: &str, is_new: bool) -> Changed {
    Changed {
        node: format!("/dev/sda{part}"),
        links: vec![format!("/dev/disk/by-partlabel/{label}")],
        entry: Some(Entry {
            guid: format!("GUID-{part}"),
            type_guid: "TYPE".to_owned(),
            label: label.to_owned(),
            start: 1 << 20,
            size: 4096,
        }),
        is_new,
    }
}

/// What udev does next, and what event is heard of that
type Act<'a> = Box<dyn FnOnce(&Scene) -> io::Result<Option<String>> + 'a>;

/// What is heard, one after another; nothing more after that.
struct Says<'a>(&'a Scene, Vec<Act<'a>>);

impl<'a> Says<'a> {
    fn nothing(scene: &'a Scene) -> Self {
        Self(scene, Vec::new())
    }

    fn then(mut self, act: impl FnOnce(&Scene) -> io::Result<Option<String>> + 'a) -> Self {
        self.1.push(Box::new(act));
        self
    }
}

impl Ear for Says<'_> {
    fn next(&mut self, time: Duration) -> io::Result<Heard> {
        if self.1.is_empty() {
            self.0.clock.sleep(time);
            return Ok(Heard::Nothing);
        }
        self.0.clock.sleep(Duration::from_millis(1));
        let name = self.1.remove(0)(self.0)?;
        Ok(name.map_or(Heard::Other, Heard::Named))
    }
}

fn tell(scene: &Scene, changed: &[Changed], ear: &mut Says<'_>) -> Result<(), AnnounceError> {
    scene.with(|announcer| announcer.tell(changed, ear))
}

#[test]
fn what_the_kernel_has_told_is_not_asked_for_again() {
    let scene = Scene::new(3);
    let changed = [
        partition(1, "one", true),
        partition(2, "two", true),
        Changed::node("/dev/sda"),
    ];
    let mut ear = Says::nothing(&scene)
        .then(|scene| {
            scene.write(1, "one");
            Ok(None)
        })
        .then(|scene| {
            scene.write(2, "stale");
            Ok(None)
        })
        .then(|scene| Ok(scene.asked(0)))
        .then(|scene| {
            scene.write(2, "two");
            Ok(None)
        });
    tell(&scene, &changed, &mut ear).unwrap();
    assert!(ear.1.is_empty(), "it has waited for all of them");
    assert!(scene.asked(0).is_some());
    assert_eq!((scene.asked(1), scene.asked(2)), (None, None));
    assert!(scene.clock.monotonic() < Duration::from_millis(100));
}

#[test]
fn what_udev_knows_already_costs_nothing() {
    let scene = Scene::new(2);
    scene.write(1, "one");
    scene.write(2, "two");
    let changed = [partition(1, "one", false), partition(2, "two", false)];
    tell(&scene, &changed, &mut Says::nothing(&scene)).unwrap();
    assert!(scene.clock.slept().is_empty());
    // Another label, and the kernel says nothing of it.
    let changed = [partition(1, "one", false), partition(2, "new", false)];
    let mut ear = Says::nothing(&scene).then(|scene| Ok(scene.asked(2)));
    tell(&scene, &changed, &mut ear).unwrap();
    assert_eq!(scene.asked(1), None);
    assert!(ear.1.is_empty());
}

#[test]
fn an_event_that_is_lost_is_asked_for_again() {
    let scene = Scene::new(2);
    let changed = [partition(1, "one", true), Changed::node("/dev/sda")];
    let first = RefCell::new(None);
    let mut ear = Says::nothing(&scene).then(|scene| {
        *first.borrow_mut() = scene.asked(0);
        // So many messages that not all of them could be had.
        Err(io::Error::from_raw_os_error(libc::ENOBUFS))
    });
    ear = ear
        .then(|scene| {
            assert_ne!(scene.asked(0), *first.borrow(), "asked again");
            assert!(scene.asked(1).is_some());
            Ok(first.borrow().clone())
        })
        .then(|scene| Ok(scene.asked(1)));
    tell(&scene, &changed, &mut ear).unwrap();
    assert!(ear.1.is_empty(), "the first event of the disk will do");

    // Nothing at all is heard: after a while, ever longer, it is asked for once more; in the end that is an error.
    let scene = Scene::new(1);
    let changed = [partition(1, "one", true)];
    let error = tell(&scene, &changed, &mut Says::nothing(&scene)).unwrap_err();
    assert!(error.to_string().contains("/dev/sda1 within 90 s"), "{error}");
    assert!(scene.asked(1).is_some());
}

#[test]
fn a_device_that_is_gone_for_a_moment_is_waited_for() {
    let scene = Scene::new(0);
    let changed = [Changed::node("/dev/sdb")];
    let error = tell(&scene, &changed, &mut Says::nothing(&scene)).unwrap_err();
    assert!(error.to_string().contains("/dev/sdb"), "{error}");
    assert_eq!(scene.clock.slept().len(), 7);
}

#[test]
fn links_are_waited_for_unless_another_device_has_them() {
    let scene = Scene::new(2);
    scene.write(1, "one");
    scene.write(2, "two");
    let link = |name: &str| format!("/dev/disk/by-partlabel/{name}");
    scene
        .numbers
        .borrow_mut()
        .insert(link("one"), libc::makedev(8, 2));
    scene
        .numbers
        .borrow_mut()
        .insert(link("two"), libc::makedev(8, 2));
    let changed = [partition(1, "one", true), partition(2, "two", true)];
    scene.with(|announcer| announcer.await_links(&changed));
    assert!(scene.clock.slept().is_empty());
    scene.numbers.borrow_mut().remove(&link("two"));
    scene.with(|announcer| announcer.await_links(&changed));
    assert!(scene.clock.monotonic() >= LINKS);
}

#[test]
fn without_udev_nothing_is_done() {
    let scene = Scene::new(1);
    fs::remove_file(scene.run().join("udev/control")).unwrap();
    scene.with(|announcer| {
        announcer.announce(&[Changed::node("/dev/sda1")]).unwrap();
        announcer.await_units(&["/dev/sda1".to_owned()].into());
    });
    assert_eq!(scene.asked(1), None);
    // Nor without devices, or without systemd.
    fs::write(scene.run().join("udev/control"), "").unwrap();
    scene.with(|announcer| {
        announcer.announce(&[]).unwrap();
        announcer.await_units(&["/dev/sda1".to_owned()].into());
    });
    assert!(scene.clock.slept().is_empty());
}

/// A socket that does not do what is expected of it costs time, and brings the race back only if systemctl does not help, either.
#[test]
fn systemctl_is_asked_if_the_socket_does_not_answer() {
    let mut scene = Scene::new(1);
    let unit = |state| format!("Id={}\nActiveState={state}\n", device_unit("/dev/sda1"));
    scene.systemctl = FakeRunner::new()
        .succeed(unit("inactive").as_bytes())
        .succeed(unit("active").as_bytes());
    fs::write(scene.run().join("udev/data/b8:1"), "G:systemd\n").unwrap();
    fs::create_dir(scene.run().join("systemd")).unwrap();
    // Nobody listens.
    fs::write(scene.run().join("systemd/private"), "").unwrap();
    scene.with(|announcer| announcer.await_units(&["/dev/sda1".to_owned()].into()));
    assert_eq!(scene.systemctl.commands().len(), 2);
    assert!(scene.clock.monotonic() < UNITS);
}
