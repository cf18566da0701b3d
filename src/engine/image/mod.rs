//! Disk images in place of a machine's disks: planning over them, and provisioning them.

pub mod mapping;
pub mod provision;
mod root;

use std::path::Path;

use mapping::Mapped;

use super::edges::Edges;
use super::failure::Failure;
use super::load::{self, Loaded, Source, Wanted};
use super::places::Places;
use super::stage::{self, Job};
use super::state::State;
use super::world::{DryRun, World as _};
use crate::PROGRESS_PATH;
use crate::cli::{ImageArgs, Input, PlanArgs};
use crate::exec::progress;
use crate::fetch::Fetch;
use crate::fetch::settings::Settings;
use crate::plan::Plan;
use crate::plan::render::Summary;
use crate::stages::{Phase, Progress, Rerun, Stage};
use crate::sys::devices::image::{ImageDevices, ImageFile};
use crate::sys::probe::{ImageView, Probe};
use crate::sys::runner::NoPrograms;
use crate::sys::{Runner, terminal};
use crate::view::{RootPath, View};

/// Where runs note which filesystems they are making. It outlives them, as the boot does.
const MARKS: &str = "/run/ignition-images/making";

/// What plans over an image call the root.
const ROOT: &str = "/sysroot";

/// Larger than the record of a config with 100,000 files.
const RECORD_MAX: u64 = 64 << 20;

fn failed(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(None, error)
}

/// Gets the config. Only the file counts: the base configs of this machine are not those of the image.
fn load(
    config: &Input,
    remote: Wanted,
    runner: &dyn Runner,
    edges: &Edges,
    fetch: &mut Fetch<'_>,
    state: &mut State,
) -> Result<Loaded, Failure> {
    let request = load::Request {
        stage: Stage::Fetch,
        source: Source::Alone(match config {
            Input::File(path) => path,
            Input::Stdin => Path::new("/dev/stdin"),
        }),
        places: &Places::of_a_boot(),
        remote,
        runner,
    };
    load::load(&request, edges, fetch, state)
}

/// Opens the images of a config, and refuses one that names other devices.
fn open(args: &ImageArgs, loaded: &Loaded, for_writing: bool) -> Result<Vec<ImageFile>, Failure> {
    let mapped = mapping::mapping(args, &loaded.config)?;
    mapping::refuse_foreign(&loaded.config, &mapped).map_err(|failure| loaded.locate(failure))?;
    let open = |Mapped { file, names }: Mapped| {
        ImageFile::open(&file, names, args.sector_size, for_writing).map_err(|error| failed(&error))
    };
    mapped.into_iter().map(open).collect()
}

/// Shows what all stages would do to an image; the exit code of `plan`.
pub(super) fn plan(args: &PlanArgs, image: &ImageArgs) -> Result<u8, Failure> {
    let edges = Edges::of_this_machine();
    let mut state = State::default();
    let mut fetch =
        edges.fetch(Settings::at_start(super::run::DRY_RUN_MOST).at_most(super::run::DRY_RUN_MOST));
    let remote = super::run::wanted(args.fetch);
    let loaded = load(&args.config, remote, &NoPrograms, &edges, &mut fetch, &mut state)?;
    let files = open(image, &loaded, false)?;
    let devices =
        ImageDevices::new(edges.runner.clone(), files, MARKS.into()).map_err(|error| failed(&error))?;
    let over = Over {
        image,
        edges: &edges,
        loaded: &loaded,
        state: &state,
        devices: &devices,
        rerun: args.rerun,
    };
    let plans = match &args.root {
        None => {
            let view = ImageView::new(&devices);
            over.plans(&view, &|node| view.mount_root(node))
        }
        Some(directory) => {
            let root = stage::open_root(Stage::Files, directory)?;
            let probe = Probe::new(&root, None).with_devices(&devices).with_all_mounted();
            let plans = over.plans(&probe, &|_node| Ok(()));
            super::run::say_unread(&probe);
            plans
        }
    };
    let plans = plans.map_err(|failure| loaded.locate(failure))?;
    super::run::show(&plans, &devices, args.format, &loaded, &edges)?;
    let arguments = &loaded.config.kernel_arguments;
    if !arguments.should_exist.is_empty() || !arguments.should_not_exist.is_empty() {
        terminal::print(
            true,
            "ignition: provision does not change kernel arguments: they stand in the boot loader of the image\n",
        );
    }
    Ok(Summary::of(&plans).exit_code())
}

/// What is planned, and over what.
struct Over<'a> {
    image: &'a ImageArgs,
    edges: &'a Edges,
    loaded: &'a Loaded,
    state: &'a State,
    devices: &'a ImageDevices,
    rerun: Rerun,
}

impl Over<'_> {
    /// The plans of all stages. `mount_root` lets the view show what the filesystem of the root holds.
    fn plans(
        &self,
        view: &dyn View,
        mount_root: &dyn Fn(&str) -> Result<(), crate::view::ViewError>,
    ) -> Result<Vec<Plan>, Failure> {
        let mut world = DryRun::new(view).on_images(self.devices);
        let predict = |stages: &[Stage], progress: &Progress, world: &mut DryRun<'_>| {
            for stage in stages {
                let job = Job {
                    stage: *stage,
                    config: &self.loaded.config,
                    state: self.state,
                    found: &self.loaded.found,
                    rerun: self.rerun,
                    phases: &super::files::PHASES,
                    aliases: Path::new(""),
                    marks: Path::new(MARKS),
                    of_image: true,
                };
                stage::predict(&job, self.edges, ROOT, progress, world)?;
            }
            Ok(())
        };
        let nothing = Progress::default();
        // What the fetch stage leaves for later ones stays in the program here; what it did not fetch is named.
        let unfetched = crate::stages::fetch::plan_unfetched(Stage::Fetch, &self.loaded.found);
        world
            .advance(unfetched)
            .map_err(|error| Failure::from_advance(Stage::Fetch, Phase::Config, &error))?;
        predict(&[Stage::Kargs, Stage::Disks], &nothing, &mut world)?;
        let root = root::find(
            &self.loaded.config,
            &self.image.root_label,
            world.overlay().devices(),
        )?;
        if !world.overlay().devices_mut().is_predicted(root.node()) {
            mount_root(root.node()).map_err(|error| failed(&error))?;
        }
        predict(&[Stage::Mount], &nothing, &mut world)?;
        let progress = read_progress(view)?;
        predict(&[Stage::Files, Stage::Umount], &progress, &mut world)?;
        Ok(stage::plans(world))
    }
}

/// What an unfinished run has left on the root.
fn read_progress(view: &dyn View) -> Result<Progress, Failure> {
    let path = RootPath::from(PROGRESS_PATH);
    let read = || match view.node(&path)? {
        Some(node) if node.is_file() => view.read(&path, RECORD_MAX),
        _ => Ok(None),
    };
    let bytes = read().map_err(|error| failed(&error))?;
    Ok(bytes.map_or_else(Progress::default, |bytes| progress::parse(&bytes)))
}
