//! The edges of the real machine, made once per process.

use std::path::{Path, PathBuf};

use crate::events::Report;
use crate::fetch::Fetch;
use crate::fetch::network::Network;
use crate::fetch::settings::Settings;
use crate::fetch::tls;
use crate::sys::clock::SystemClock;
use crate::sys::devices::RealDevices;
use crate::sys::host::Host;
use crate::sys::reach::Kernel;
use crate::sys::runner::System;
use crate::sys::{Environment, HostFiles as _};

/// Where Flatcar's OEM partition is mounted (flatcar.md 4.5).
const OEM_DIR: &str = "/oem";

/// Larger than any kernel command line.
const CMDLINE_MAX: u64 = 1 << 20;

/// Everything outside that a run may touch.
pub struct Edges {
    /// The environment, as it was at the start
    pub environment: Environment,
    /// Files outside the root
    pub host: Host,
    /// Time
    pub clock: SystemClock,
    /// Programs
    pub runner: System,
    /// The network
    pub network: Network,
    /// Block devices
    pub devices: RealDevices,
    /// Who is told what happens
    pub events: Report,
}

impl Edges {
    /// The edges of the machine that this process runs on.
    pub fn of_this_machine() -> Self {
        let environment = Environment::read();
        let (file, directory) = (
            environment.ssl_cert_file.clone(),
            environment.ssl_cert_dir.clone(),
        );
        let runner = System::new(environment.path.as_deref());
        Self {
            clock: SystemClock::new(),
            devices: RealDevices::new(runner.clone()),
            runner,
            network: Network::new(move || tls::system_bundle(&Host, file.as_deref(), directory.as_deref())),
            environment,
            host: Host,
            events: Report::default(),
        }
    }

    /// A fetcher with these settings.
    pub fn fetch(&self, settings: Settings) -> Fetch<'_> {
        let oem = self
            .environment
            .oem_lookaside_dir
            .clone()
            .unwrap_or_else(|| PathBuf::from(OEM_DIR));
        let mut fetch = Fetch::new(&self.network, &self.host, &self.clock, oem, settings);
        fetch.reach = &Kernel;
        fetch.events = &self.events;
        fetch
    }

    /// The kernel command line.
    pub fn kernel_command_line(&self) -> std::io::Result<Vec<u8>> {
        Ok(self
            .host
            .read(Path::new("/proc/cmdline"), CMDLINE_MAX)?
            .unwrap_or_default())
    }
}

impl std::fmt::Debug for Edges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edges").finish_non_exhaustive()
    }
}
