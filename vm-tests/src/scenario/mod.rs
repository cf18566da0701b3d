//! Scenarios: first boots of a system as Flatcar's is, with the initrd that the repository's own dracut module makes.

mod basics;
mod bench;
pub mod computer;
mod disks;
mod failures;
mod machines;
mod plain;
mod power;
mod rerun;
mod server;
mod sources;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::{Doing as _, Job, Result, Scene, store};

pub use computer::{Boot, Computer};

/// A scenario.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name
    pub name: &'static str,
    /// What it shows
    pub shows: &'static str,
    /// Whether CI runs it
    pub ci: bool,
    /// Plays it
    pub play: fn(&Play) -> Result<()>,
}

/// A scenario while it is played.
#[derive(Debug)]
pub struct Play {
    /// What it boots
    pub scene: Scene,
    /// Where all of it is
    pub directory: PathBuf,
    /// Whether somebody wants to look inside
    pub shell: bool,
    name: &'static str,
    boots: Mutex<Vec<(Duration, Duration)>>,
    said: Mutex<String>,
}

impl Play {
    fn run_name(&self) -> String {
        format!("scene-{}", self.name)
    }

    fn note(&self, job: &Job) {
        if let Ok(mut boots) = self.boots.lock() {
            boots.push((job.wall, job.cpu));
        }
    }

    /// Something that it found out.
    pub fn say(&self, text: &str) {
        if let Ok(mut said) = self.said.lock() {
            said.push_str("; ");
            said.push_str(text);
        }
    }

    /// What its boots took, and what it has said.
    fn times(&self) -> String {
        let said = self.said.lock().map(|said| said.clone()).unwrap_or_default();
        let boots = self.boots.lock().map(|boots| boots.clone()).unwrap_or_default();
        let texts: Vec<String> = boots
            .iter()
            .map(|(wall, cpu)| format!("{:.0}/{:.0}", wall.as_secs_f64(), cpu.as_secs_f64()))
            .collect();
        format!("boots, s wall/CPU: {}{said}", texts.join(" "))
    }
}

/// How scenarios are run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The directories stay as they are
    pub keep: bool,
    /// A shell on the terminal at the end of each boot
    pub shell: bool,
}

/// All, the most important first.
pub fn all() -> Vec<Scenario> {
    [
        basics::SCENARIOS,
        disks::SCENARIOS,
        rerun::SCENARIOS,
        failures::SCENARIOS,
        sources::SCENARIOS,
        machines::SCENARIOS,
        plain::SCENARIOS,
        power::SCENARIOS,
        bench::SCENARIOS,
    ]
    .concat()
}

/// Those that these words name: names, `all`, `ci`.
pub fn named(words: &[String]) -> Result<Vec<Scenario>> {
    let all = all();
    let mut chosen: Vec<Scenario> = Vec::new();
    for word in words {
        let before = chosen.len();
        chosen.extend(all.iter().copied().filter(|scenario| match word.as_str() {
            "all" => !["root-race", "bench-boot"].contains(&scenario.name),
            "ci" => scenario.ci,
            name => scenario.name == name,
        }));
        if chosen.len() == before {
            return Err(format!("no scenario {word}; `scenario list` names them").into());
        }
    }
    Ok(chosen)
}

/// What there is.
pub fn list() {
    for Scenario { name, shows, ci, .. } in all() {
        println!("{name:<24} {}  {shows}", if ci { "ci" } else { "  " });
    }
}

/// Plays them, two at a time; each says how it ended. An error names those that failed.
pub fn run(scene: &Scene, scenarios: Vec<Scenario>, options: Options) -> Result<()> {
    let at_a_time = if options.shell { 1 } else { 2 };
    let waiting = Mutex::new(VecDeque::from(scenarios));
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(|| {
                while let Some(scenario) = waiting.lock().ok().and_then(|mut waiting| waiting.pop_front()) {
                    if !play(scene, scenario, options)
                        && let Ok(mut failed) = failed.lock()
                    {
                        failed.push(scenario.name);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_default();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("failed: {}", failed.join(", ")).into())
    }
}

fn play(scene: &Scene, scenario: Scenario, options: Options) -> bool {
    let start = Instant::now();
    let directory = store().join("runs").join(format!("scene-{}", scenario.name));
    let play = Play {
        scene: scene.clone(),
        directory,
        shell: options.shell,
        name: scenario.name,
        boots: Mutex::default(),
        said: Mutex::default(),
    };
    let outcome = fresh(&play.directory).and_then(|()| (scenario.play)(&play));
    let name = scenario.name;
    let seconds = start.elapsed().as_secs_f64();
    match &outcome {
        Ok(()) => println!("ok   {name:<24} {seconds:5.0} s  {}", play.times()),
        Err(error) => println!(
            "FAIL {name:<24} {seconds:5.0} s  {}\n{error}\nsee {}",
            play.times(),
            play.directory.display()
        ),
    }
    if outcome.is_ok() && !options.keep {
        // The disks; what was said stays.
        let _left = slim(&play.directory);
    }
    outcome.is_ok()
}

fn fresh(directory: &std::path::Path) -> Result<()> {
    if directory.exists() {
        std::fs::remove_dir_all(directory).doing(directory.display())?;
    }
    std::fs::create_dir_all(directory).doing(directory.display())
}

fn slim(directory: &std::path::Path) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !path.is_symlink() {
            slim(&path)?;
        } else if name.ends_with(".raw") || name == "initrd" {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}
