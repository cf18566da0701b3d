//! The fetch stages: what they leave for later ones once the config is there (spec/fetch.md 5 and 7).

use std::path::PathBuf;

use super::{Phase, Stage};
use crate::plan::{Action, Change, HostFile, Plan, Secret, Step};
use crate::report::Pointer;

/// What the fetch stages have found out.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Cache file and the rendered config, as it will be read by later stages; `None` if the config needs the network
    /// itself and the stage does without
    pub cache: Option<(PathBuf, Secret<Vec<u8>>)>,
    /// File with the origins of the config's parts, and its bytes
    pub origins: Option<(PathBuf, Vec<u8>)>,
    /// Flag file that asks for the network, if it is needed
    pub need_net: Option<PathBuf>,
    /// Configs that were referred to and not fetched: place, URL fit to be shown, hash. Only in dry runs.
    pub unfetched: Vec<(Pointer, String, Option<String>)>,
}

/// Stands in a dry run for the configs that were not fetched: what they ask for is not known.
pub fn plan_unfetched(stage: Stage, found: &Found) -> Plan {
    let steps = found
        .unfetched
        .iter()
        .map(|(pointer, url, hash)| Step {
            action: Action::FetchConfig {
                url: url.clone(),
                hash: hash.clone(),
            },
            change: Change::Unknown {
                why: "not fetched in a dry run; give --fetch to see what it asks for".into(),
            },
            cause: pointer.clone(),
        })
        .collect();
    Plan {
        stage,
        phase: Phase::Config,
        steps,
    }
}

/// Plans phase *config*.
pub fn plan(stage: Stage, found: &Found) -> Plan {
    let mut steps = plan_unfetched(stage, found).steps;
    let mut write = |file: HostFile, path: &PathBuf, bytes: Secret<Vec<u8>>, mode: u32| {
        let action = Action::WriteHostFile {
            file,
            path: path.clone(),
            bytes,
            mode,
        };
        steps.push(Step {
            action,
            change: Change::Create,
            cause: Pointer::root(),
        });
    };
    if let Some((path, bytes)) = &found.origins {
        write(HostFile::Origins, path, Secret::new(bytes.clone()), 0o600);
    }
    // The cache last of the two: its presence says that the config is there.
    if let Some((path, bytes)) = &found.cache {
        write(HostFile::Cache, path, bytes.clone(), 0o640);
    }
    if let Some(path) = &found.need_net {
        write(HostFile::NeedNet, path, Secret::default(), 0o644);
    }
    Plan {
        stage,
        phase: Phase::Config,
        steps,
    }
}
