//! What a stage tells others than the operator at the console: the report, line by line, and at the end of a boot's
//! provisioning one message to whom the kernel command line names.

use std::time::Duration;

use super::digest::Digest;
use super::edges::Edges;
use super::failure::Failure;
use super::places::Places;
use super::post::{self, Message};
use crate::cli::EngineArgs;
use crate::events::file::{NAME, ReportFile};
use crate::events::read::Report;
use crate::events::{Event, Events as _};
use crate::fetch::settings::Settings;
use crate::stages::Stage;
use crate::sys::clock::Moment;
use crate::sys::{Clock as _, HostFiles as _};

/// The kernel parameter that names who is told how a boot's provisioning ended.
const URL: &str = "ignition.report.url";

/// The stage after which a machine is provisioned: the last that the boot waits for (flatcar.md 2.1). `umount` only undoes
/// mounts when the initrd is left.
const LAST: Stage = Stage::Files;

/// More than the report of a boot with a million steps.
const REPORT_MAX: u64 = 1 << 30;

/// A stage that is told about.
#[derive(Debug)]
pub struct Told<'a> {
    args: &'a EngineArgs,
    edges: &'a Edges,
    boot_id: Option<String>,
    begun: Duration,
    at: Moment,
}

impl<'a> Told<'a> {
    /// A stage that is about to begin.
    pub fn new(args: &'a EngineArgs, edges: &'a Edges) -> Self {
        Self {
            args,
            edges,
            // The result file needs it, and says why it is not there.
            boot_id: crate::sys::host::boot_id(&edges.host).ok(),
            begun: edges.clock.monotonic(),
            at: Moment::now(),
        }
    }

    /// The stage has begun: the report is opened. The caller holds the lock of the run.
    pub fn begins(&self, places: &Places) {
        let path = places.beside_state(NAME);
        match ReportFile::open(path.clone(), self.args.stage, self.edges.clock) {
            Ok(file) => self.edges.events.goes_to(file),
            Err(error) => tracing::warn!("there will be no report: cannot open {}: {error}", path.display()),
        }
        self.edges.events.tell(&Event::StageBegins {
            stage: self.args.stage,
            boot_id: self.boot_id.as_deref(),
            platform: self.args.platform.as_deref(),
        });
    }

    /// The stage is over, and the report says so. The caller still holds the lock.
    pub fn ends(&self, done: &Result<(), Failure>) {
        let digest = done.as_ref().err().map(|failure| &*failure.digest);
        self.edges.events.tell(&Event::StageEnds {
            stage: self.args.stage,
            failure: digest,
            took: self.took(),
        });
    }

    /// Whoever wants to know is told how provisioning ended, if it has. Nothing of that changes how.
    pub fn post(&self, done: &Result<(), Failure>, settings: &Settings) {
        let digest = done.as_ref().err().map(|failure| &*failure.digest);
        // What is tried out on a workstation concerns nobody else.
        if self.args.config.is_none() && (digest.is_some() || self.args.stage == LAST) {
            self.post_outcome(digest, settings);
        }
    }

    fn took(&self) -> Duration {
        self.edges.clock.monotonic().saturating_sub(self.begun)
    }

    fn post_outcome(&self, digest: Option<&Digest>, settings: &Settings) {
        let edges = self.edges;
        let Some(url) = edges
            .kernel_command_line()
            .ok()
            .and_then(|line| super::cmdline::value(&line, URL))
            .filter(|url| !url.is_empty())
        else {
            return;
        };
        let places = Places::of(self.args);
        let message = Message {
            schema: post::SCHEMA,
            outcome: if digest.is_some() { "failed" } else { "provisioned" },
            stage: self.args.stage,
            operation: digest.and_then(|digest| digest.operation.as_deref()),
            pointer: digest.and_then(|digest| digest.pointer.as_ref()),
            time: edges.clock.now(),
            duration: u64::try_from(self.since_the_first_stage(&places).as_micros()).unwrap_or(u64::MAX),
            boot_id: self.boot_id.as_deref(),
            platform: self.args.platform.as_deref(),
            engine: crate::VERSION,
            config_sha512: match digest {
                Some(digest) => digest.config_sha512.clone(),
                None => post::cached_sha512(&edges.host, &places.config_cache),
            },
            digest,
        };
        post::tell(&edges.network, &url, settings, &message);
    }

    /// Since the first stage of this boot began, as far as the report knows; else since this one did.
    fn since_the_first_stage(&self, places: &Places) -> Duration {
        let first = self.boot_id.as_deref().and_then(|id| {
            let path = places.beside_state(NAME);
            let bytes = self.edges.host.read(&path, REPORT_MAX).ok()??;
            Report::parse(&bytes).first_begin(id)
        });
        let first = first.map_or(self.at.uptime, Duration::from_micros);
        self.at.uptime.saturating_sub(first).saturating_add(self.took())
    }
}
