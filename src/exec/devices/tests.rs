use super::super::progress::Record;
use super::super::{StepError, execute as execute_plan};
use super::*;
use crate::events::{Event, Events, Outcome, Untold};
use crate::plan::device::Format;
use crate::plan::{Change, Plan};
use crate::report::Pointer;
use crate::stages::{Phase, Stage};
use crate::sys::clock::FakeClock;
use crate::sys::devices::{AnnounceError, BlockDevices, DeviceMissing, UnmountError};
use crate::sys::host::FakeHost;
use crate::sys::runner::{Ended, Invocation, Output, RunError, Runner};
use crate::sys::sysroot::Sysroot;
use crate::view::{Devices, NoDevices};
use std::sync::Barrier;

/// mkfs of a node that holds `bad` fails; all wait for each other, so that a run one by one would hang.
struct Together<'a> {
    barrier: Option<&'a Barrier>,
    ran: Mutex<Vec<String>>,
}

impl Runner for Together<'_> {
    fn run(&self, invocation: &Invocation) -> Result<Output, RunError> {
        let command = invocation.to_string();
        self.ran.lock().unwrap().push(command.clone());
        if command.starts_with("wipefs") {
            if let Some(barrier) = self.barrier {
                barrier.wait();
            }
        } else if command.contains("bad") {
            return Err(RunError::Failed {
                command,
                ended: Ended::Code(1),
                stderr: "no".to_owned(),
            });
        }
        Ok(Output::default())
    }
}

#[derive(Default)]
struct Told(Mutex<Vec<String>>, bool, Mutex<Vec<String>>);

impl BlockDevices for Told {
    fn devices(&self) -> &dyn Devices {
        &NoDevices
    }
    fn await_paths(&self, _paths: &[&str]) -> Result<(), DeviceMissing> {
        Ok(())
    }
    fn announce(&self, changed: &[Changed]) -> Result<(), AnnounceError> {
        let nodes: Vec<&str> = changed.iter().map(|device| device.node.as_str()).collect();
        self.0.lock().unwrap().push(nodes.join(" "));
        if self.1 {
            return Err(AnnounceError {
                problem: "udev is deaf".to_owned(),
            });
        }
        Ok(())
    }
    fn begin(&self, node: &str) -> std::io::Result<()> {
        self.2.lock().unwrap().push(format!("begin {node}"));
        Ok(())
    }
    fn end(&self, node: &str) -> std::io::Result<()> {
        self.2.lock().unwrap().push(format!("end {node}"));
        Ok(())
    }
    fn unmount(&self, _target: &str) -> Result<(), UnmountError> {
        Ok(())
    }
}

#[derive(Default)]
struct Kept(Mutex<Vec<String>>);

impl Events for Kept {
    fn tell(&self, event: &Event<'_>) {
        if let Event::Step { step, outcome, .. } = event {
            let word = match outcome {
                Outcome::Kept => "kept",
                Outcome::Done => "done",
                Outcome::Failed(_) => "failed",
            };
            self.0.lock().unwrap().push(format!("{} {word}", step.cause));
        }
    }
}

fn plan(nodes: &[&str]) -> Plan {
    let steps = nodes.iter().enumerate().map(|(index, node)| Step {
        action: Action::Device(DeviceAction::MakeFilesystem(MakeFilesystem {
            device: (*node).to_owned(),
            node: (*node).to_owned(),
            format: Format::Ext4,
            label: None,
            uuid: None,
            options: Vec::new(),
        })),
        change: if *node == "kept" {
            Change::Keep {
                reason: "it is".to_owned(),
            }
        } else {
            Change::Create
        },
        cause: Pointer::root().key("f").index(index),
    });
    Plan {
        stage: Stage::Disks,
        phase: Phase::Filesystems,
        steps: steps.collect(),
    }
}

struct Fetchless;

impl crate::fetch::Fetcher for Fetchless {
    fn open(
        &self,
        _resource: &crate::config::types::Resource,
    ) -> Result<crate::fetch::Contents<'_>, crate::fetch::FetchError> {
        panic!("nothing is fetched")
    }
}

fn run(
    nodes: &[&str],
    runner: &dyn Runner,
    devices: &Told,
    events: &dyn Events,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<(), StepError> {
    let directory = tempfile::tempdir().unwrap();
    let root = Sysroot::open(directory.path()).unwrap();
    let machine = Machine {
        keys: &crate::engine::keys::NoKeys,
        root: &root,
        devices,
        runner,
        host: &FakeHost::new(),
        fetcher: &Fetchless,
        events,
        clock: &FakeClock::new(),
        stop,
    };
    execute_plan(&plan(nodes), &machine, &mut Record::none(&root))
}

#[test]
fn filesystems_are_made_side_by_side_and_told_in_order() {
    let workers = thread::available_parallelism().map_or(1, usize::from).min(2);
    let barrier = Barrier::new(workers);
    let runner = Together {
        barrier: (workers == 2).then_some(&barrier),
        ran: Mutex::default(),
    };
    let (devices, events) = (Told::default(), Kept::default());
    run(&["a", "kept", "b"], &runner, &devices, &events, &|| false).unwrap();
    assert_eq!(*events.0.lock().unwrap(), ["f[0] done", "f[1] kept", "f[2] done"]);
    assert_eq!(*devices.0.lock().unwrap(), ["a b"], "told once");
    let mut ran = runner.ran.into_inner().unwrap();
    ran.sort();
    assert_eq!(
        ran,
        ["mkfs.ext4 -F a", "mkfs.ext4 -F b", "wipefs -a a", "wipefs -a b"]
    );
}

#[test]
fn all_are_attempted_and_errors_are_joined() {
    let runner = Together {
        barrier: None,
        ran: Mutex::default(),
    };
    let (devices, events) = (Told::default(), Kept::default());
    let nodes = ["bad1", "good", "bad2"];
    let error = run(&nodes, &runner, &devices, &events, &|| false).unwrap_err();
    assert_eq!(error.cause.to_string(), "f[0]");
    let text = crate::report::chain(&error.problem);
    assert_eq!(
        text,
        "`mkfs.ext4 -F bad1` failed with exit code 1: no; another step also failed: f[2]: `mkfs.ext4 -F bad2` failed with \
         exit code 1: no"
    );
    assert_eq!(
        *events.0.lock().unwrap(),
        ["f[0] failed", "f[1] done", "f[2] failed"]
    );
    assert_eq!(*devices.0.lock().unwrap(), ["good"]);
}

#[test]
fn one_alone_is_made_and_told_as_well() {
    let runner = Together {
        barrier: None,
        ran: Mutex::default(),
    };
    let devices = Told::default();
    run(&["a"], &runner, &devices, &Untold, &|| false).unwrap();
    assert_eq!(*devices.0.lock().unwrap(), ["a"]);
}

#[test]
fn a_stop_begins_none_and_a_deaf_udev_is_an_error() {
    let runner = Together {
        barrier: None,
        ran: Mutex::default(),
    };
    let error = run(&["a", "b"], &runner, &Told::default(), &Untold, &|| true).unwrap_err();
    assert!(
        error.problem.to_string().contains("stopped on request"),
        "{error}"
    );
    assert_eq!(*runner.ran.lock().unwrap(), Vec::<String>::new());
    let deaf = Told(Mutex::default(), true, Mutex::default());
    let error = run(&["a", "b"], &runner, &deaf, &Untold, &|| false).unwrap_err();
    assert_eq!(error.problem.to_string(), "udev is deaf");
    // What udev has not heard of is made anew by the next run: nobody else would tell it.
    assert_eq!(*deaf.2.lock().unwrap(), ["begin a", "begin b"]);
}

/// What mkfs has left when it fails is wiped; until then the device is known as half-made.
#[test]
fn nothing_half_made_stays() {
    let runner = Together {
        barrier: None,
        ran: Mutex::default(),
    };
    let devices = Told::default();
    run(&["bad"], &runner, &devices, &Untold, &|| false).unwrap_err();
    assert_eq!(
        *runner.ran.lock().unwrap(),
        ["wipefs -a bad", "mkfs.ext4 -F bad", "wipefs -a bad"]
    );
    assert_eq!(*devices.2.lock().unwrap(), ["begin bad", "end bad"]);
}
