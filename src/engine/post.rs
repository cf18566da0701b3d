//! How a boot's provisioning ended, told to an URL: one request, and whatever becomes of it changes nothing
//! (`docs/report-format.md`).

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::digest::Digest;
use crate::config::grammar::url::display;
use crate::fetch::http::Http;
use crate::fetch::post::{PostError, post};
use crate::fetch::settings::Settings;
use crate::plan::render::visible_json;
use crate::report::{Pointer, chain};
use crate::stages::Stage;
use crate::sys::HostFiles;

/// The most that telling may take, from looking the name up to the status of the answer.
const MOST: Duration = Duration::from_secs(2);

/// The version of the message. It grows when something that a reader may rely on goes or changes its meaning.
pub const SCHEMA: u32 = 1;

/// How it ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Message<'a> {
    /// [`SCHEMA`]
    pub schema: u32,
    /// `provisioned` or `failed`
    pub outcome: &'static str,
    /// The last stage that ran
    pub stage: Stage,
    /// What was being done when it failed
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<&'a str>,
    /// The place in the config
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<&'a Pointer>,
    /// RFC 3339
    pub time: String,
    /// Microseconds since the first stage of this boot began
    pub duration: u64,
    /// Which boot
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<&'a str>,
    /// Platform id
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<&'a str>,
    /// Version of this program
    pub engine: &'static str,
    /// SHA-512 of the config, in hexadecimal
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_sha512: Option<String>,
    /// Everything that is known about the failure
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<&'a Digest>,
}

/// Why nobody was told.
#[derive(Debug, thiserror::Error)]
enum TellError {
    #[error("cannot write the message")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Post(#[from] PostError),
}

/// Tells, once, within [`MOST`]. If it fails a warning says why.
pub fn tell(http: &dyn Http, url: &str, settings: &Settings, message: &Message<'_>) {
    let shown = display(url);
    let told = serde_json::to_string(message)
        .map_err(TellError::from)
        .and_then(|json| Ok(post(http, url, settings, visible_json(&json).into_bytes(), MOST)?));
    match told {
        Ok(()) => tracing::info!("reported to {shown}: {}", message.outcome),
        Err(error) => tracing::warn!(
            "cannot report to {shown} (ignition.report.url): {}",
            chain(&error)
        ),
    }
}

/// SHA-512 in hexadecimal of the config that the fetch stages cached, if there is one.
pub fn cached_sha512(files: &dyn HostFiles, cache: &Path) -> Option<String> {
    let bytes = files.read(cache, crate::fetch::CONFIG_LIMIT).ok()??;
    Some(crate::view::Digest::of(&bytes).to_string())
}
