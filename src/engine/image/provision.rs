//! `ignition-rs provision`: all stages on attached images.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::Audience;
use super::super::disks::ALIASES;
use super::super::edges::Edges;
use super::super::failure::Failure;
use super::super::keys::StateKeys;
use super::super::load::{Loaded, Wanted};
use super::super::places::Places;
use super::super::stage::{self, Job};
use super::super::state::State;
use super::super::world::DryRun;
use super::root::{self, Root};
use super::{MARKS, failed, load, open};
use crate::cli::ProvisionArgs;
use crate::config::types::{Config, KernelArguments};
use crate::fetch::settings::Settings;
use crate::report::Pointer;
use crate::stages::{Progress, Rerun, Stage};
use crate::sys::devices::image::{AttachedImages, ImageDevices, ImageFile};
use crate::sys::devices::{BlockDevices as _, RealDevices};
use crate::sys::private;
use crate::sys::runner::System;
use crate::sys::{HostFiles as _, Invocation, Runner as _, Tool, signals, terminal};
use crate::view::{Devices as _, View as _};

/// Name of the directory that the run has its files in. It is in the run's own `/dev`, in memory, and goes with it.
const NAME: &str = "ignition";

/// The same as a path.
const DIRECTORY: &str = "/dev/ignition";

/// Where the root is mounted.
const ROOT: &str = "/dev/ignition/sysroot";

/// Provisions an image; 0 or 1.
pub fn provision(args: &ProvisionArgs) -> u8 {
    crate::sys::set_umask();
    match carry_out(args) {
        Ok(()) => 0,
        Err(failure) => super::super::tell(&failure.exit(1), Audience::Boot, None),
    }
}

fn carry_out(args: &ProvisionArgs) -> Result<(), Failure> {
    if !terminal::is_root() {
        return Err(Failure::text(
            None,
            "provisioning an image needs root: it is attached to a loop device and mounted",
            "run it as root, or see with ignition-rs plan --image what it would do, which needs no rights",
        ));
    }
    signals::watch().map_err(|error| failed(&error))?;
    signals::watch_terminal().map_err(|error| failed(&error))?;
    let mut edges = Edges::of_this_machine();
    let mut state = State::default();
    // As the config says, once it is there.
    let settings;
    let mut loaded = {
        let mut fetch = edges.fetch(Settings::at_start(Duration::ZERO));
        let runner = edges.runner.clone();
        let loaded = load(
            &args.config,
            Wanted::Configs,
            &runner,
            &edges,
            &mut fetch,
            &mut state,
        )?;
        settings = fetch.settings.clone();
        loaded
    };
    unsupported(&mut loaded, args.ignore_unsupported)?;
    supported(&loaded.config, &edges.runner).map_err(|failure| loaded.locate(failure))?;
    let images = open(&args.image, &loaded, true)?;
    for image in &images {
        image.lock().map_err(|error| failed(&error))?;
    }
    rehearse(args, &loaded, &state, &edges).map_err(|failure| loaded.locate(failure))?;
    stop_if_asked()?;

    private::enter(NAME).map_err(|error| failed(&error))?;
    edges.runner = edges.runner.clone().without_udev();
    let images = attach(images, &edges.runner)?;
    edges.devices = RealDevices::new(edges.runner.clone()).of_images(Arc::clone(&images));
    let run = Run {
        args,
        loaded: &loaded,
        edges: &edges,
        settings: &settings,
    };
    let done = run.stages(state).map_err(|failure| loaded.locate(failure));
    // In every case: what is mounted goes, then what is built on the images, then those.
    let unmounted = unmount(&edges);
    edges.devices = RealDevices::new(edges.runner.clone());
    let detached = match Arc::into_inner(images) {
        Some(images) => images.detach().map_err(|error| failed(&error)),
        // The kernel does it at the end of this process.
        None => Ok(()),
    };
    crate::sys::devices::tidy(Path::new(MARKS));
    done.and(unmounted).and(detached)?;
    tracing::info!("{} is provisioned", args.image.image.display());
    Ok(())
}

fn stop_if_asked() -> Result<(), Failure> {
    if signals::terminated() {
        return Err(Failure::text(
            None,
            "stopped on request",
            "run it again to continue where it left off",
        ));
    }
    Ok(())
}

/// What cannot be done to an image.
fn unsupported(loaded: &mut Loaded, ignore: bool) -> Result<(), Failure> {
    let arguments = &loaded.config.kernel_arguments;
    if arguments.should_exist.is_empty() && arguments.should_not_exist.is_empty() {
        return Ok(());
    }
    if !ignore {
        let failure = Failure::text(
            None,
            "kernel arguments cannot be changed in an image: they stand in its boot loader",
            "take them out, or leave them out with --ignore-unsupported",
        );
        return Err(loaded.locate(failure.at(&Pointer::root().key("kernelArguments"))));
    }
    crate::log::notice(&"kernelArguments are left out: they stand in the image's boot loader");
    loaded.config.kernel_arguments = KernelArguments::default();
    Ok(())
}

/// Whether this kernel has what the config needs.
fn supported(config: &Config, runner: &System) -> Result<(), Failure> {
    let storage = &config.storage;
    let needed = [
        (
            !storage.luks.is_empty(),
            "luks",
            "the device mapper",
            "dm_mod",
            private::has_device_mapper as fn() -> bool,
        ),
        (
            !storage.raid.is_empty(),
            "raid",
            "RAID arrays",
            "md_mod",
            private::has_arrays,
        ),
    ];
    for (_, section, what, module, has) in needed.into_iter().filter(|(needed, ..)| *needed) {
        if !has() {
            // That it fails shows below.
            let _ = runner.run(&Invocation::new(Tool::Modprobe, ["-q", module]));
        }
        if !has() {
            return Err(Failure::text(
                Some(Stage::Disks),
                format!("the kernel of this machine has no {what}"),
                format!("load {module}, or provision the image on another machine; nothing has been written"),
            )
            .at(&Pointer::root().key("storage").key(section).index(0)));
        }
    }
    Ok(())
}

/// Plans the disks stage over the images as they are: what would be refused is refused before anything is attached, and
/// there must be a root in the end.
fn rehearse(args: &ProvisionArgs, loaded: &Loaded, state: &State, edges: &Edges) -> Result<(), Failure> {
    let files = open(&args.image, loaded, false)?;
    let devices =
        ImageDevices::new(edges.runner.clone(), files, MARKS.into()).map_err(|error| failed(&error))?;
    let view = crate::sys::probe::ImageView::new(&devices);
    let mut world = DryRun::new(&view).on_images(&devices);
    let job = job(Stage::Disks, loaded, state, Path::new(""));
    stage::predict(&job, edges, super::ROOT, &Progress::default(), &mut world)?;
    root::find(&loaded.config, &args.image.root_label, world.overlay().devices()).map(drop)
}

fn attach(images: Vec<ImageFile>, runner: &System) -> Result<Arc<AttachedImages>, Failure> {
    let attached = AttachedImages::attach(images, runner.clone()).map_err(|error| failed(&error))?;
    Ok(Arc::new(attached))
}

fn job<'a>(stage: Stage, loaded: &'a Loaded, state: &'a State, aliases: &'a Path) -> Job<'a> {
    Job {
        stage,
        config: &loaded.config,
        state,
        found: &loaded.found,
        rerun: Rerun::default(),
        phases: &super::super::files::PHASES,
        aliases,
        marks: Path::new(MARKS),
        of_image: true,
    }
}

/// What runs on the images.
struct Run<'a> {
    args: &'a ProvisionArgs,
    loaded: &'a Loaded,
    edges: &'a Edges,
    settings: &'a Settings,
}

impl Run<'_> {
    fn stages(&self, mut state: State) -> Result<(), Failure> {
        let places = Places::below(Path::new(DIRECTORY));
        self.edges
            .host
            .make_directory(Path::new(ROOT), 0o755)
            .map_err(|error| failed(&error).doing("make a directory for the root"))?;
        for stage in [Stage::Disks, Stage::Mount, Stage::Files, Stage::Umount] {
            stop_if_asked()?;
            if stage == Stage::Mount {
                self.mount_root()?;
            }
            let _stage = crate::log::stage(stage);
            state = self.stage(stage, &state, &places)?;
        }
        Ok(())
    }

    fn stage(&self, stage: Stage, state: &State, places: &Places) -> Result<State, Failure> {
        let aliases = places.beside_state(ALIASES);
        let job = job(stage, self.loaded, state, &aliases);
        let keys = StateKeys::new(&self.edges.host, &places.state_file, state.clone());
        let fetch = self.edges.fetch(self.settings.clone());
        stage::run(&job, self.edges, Path::new(ROOT), &fetch, &keys)?;
        Ok(keys.into_state())
    }

    /// Mounts the root, unless the config does.
    fn mount_root(&self) -> Result<(), Failure> {
        let devices = self.edges.devices.devices();
        let root = root::find(&self.loaded.config, &self.args.image.root_label, devices)?;
        if let Root::Labelled { node, kind } = root {
            tracing::info!("mounting {node}, {kind}, as the root");
            let mount = Invocation::new(Tool::Mount, ["-t", &kind, &node, ROOT]);
            self.edges
                .runner
                .run(&mount)
                .map_err(|error| failed(&error).doing("mount the root of the image"))?;
        }
        Ok(())
    }
}

/// Unmounts what is mounted at the root and below, the last first.
fn unmount(edges: &Edges) -> Result<(), Failure> {
    let mounts = edges.devices.mounts().map_err(|error| failed(&error))?;
    let below = format!("{ROOT}/");
    let mut done = Ok(());
    for mounted in mounts.iter().rev() {
        if mounted.target == ROOT || mounted.target.starts_with(&below) {
            let unmounted = edges.devices.unmount(&mounted.target);
            done = done.and(unmounted.map_err(|error| failed(&error).doing("unmount the image")));
        }
    }
    done
}
