//! Stand-ins until the branches `rules` and `fetch` land.
use crate::config::types::Resource;

#[derive(Debug, thiserror::Error)]
#[error("not a data URL")]
pub(super) struct InlineError;

pub(super) fn inline(resource: &Resource) -> Result<Option<Vec<u8>>, InlineError> {
    let source = resource.source.as_ref().map_or("", |source| source.reveal());
    if source.is_empty() {
        return Ok(Some(Vec::new()));
    }
    match source.strip_prefix("data:") {
        Some(rest) => rest
            .split_once(',')
            .map(|(_, data)| Some(data.as_bytes().to_vec()))
            .ok_or(InlineError),
        None => Ok(None),
    }
}

pub(super) fn display(url: &str) -> String {
    url.to_owned()
}

pub(super) fn clean(path: &str) -> String {
    path.trim_end_matches('/').to_owned()
}
