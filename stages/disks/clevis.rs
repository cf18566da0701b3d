//! What a volume is bound to (spec/disks.md 4.6; spec/config.md 5.9).

use serde_json::{Map, Value, json};

use crate::config::grammar::url::display;
use crate::config::types::{Clevis, Resource};
use crate::plan::Secret;
use crate::report::Pointer;
use crate::stages::PlanError;
use crate::stages::files::refuse;

/// How clevis is called.
#[derive(Debug)]
pub(super) struct Binding {
    /// Pin
    pub(super) pin: String,
    /// Its configuration, JSON
    pub(super) config: Secret<String>,
    /// What it is bound to, in words
    pub(super) to: String,
    /// What Tang servers advertise, of those whose advertisement is not in the config: URL fit to be shown, resource,
    /// place
    pub(super) servers: Vec<(String, Resource, Pointer)>,
    /// Whether the volume can be unlocked now, so that it is tried
    pub(super) proves: bool,
}

/// The binding that the config asks for; `None` if it asks for none. Refuses what clevis would refuse once the volume has
/// been made.
pub(super) fn binding(clevis: &Clevis, place: &Pointer) -> Result<Option<Binding>, PlanError> {
    let custom = &clevis.custom;
    if let Some(pin) = custom.pin.as_deref().filter(|pin| !pin.is_empty()) {
        let config = custom.config.as_deref().unwrap_or_default();
        let place = place.key("custom");
        if pin.starts_with('-') || pin.contains('/') {
            return Err(refuse(
                place.key("pin"),
                format!("{pin:?} cannot be a pin"),
                "use the name of a pin: sss, tang, tpm2",
            ));
        }
        if !matches!(serde_json::from_str(config), Ok(Value::Object(_))) {
            return Err(refuse(
                place.key("config"),
                "it is no JSON object, and clevis takes nothing else",
                "correct it",
            ));
        }
        return Ok(Some(Binding {
            pin: pin.to_owned(),
            config: Secret::new(config.to_owned()),
            to: format!("the pin {pin}"),
            servers: Vec::new(),
            proves: false,
        }));
    }
    let tpm = clevis.tpm2 == Some(true);
    let threshold = clevis.threshold.filter(|threshold| *threshold != 0);
    if clevis.tang.is_empty() && !tpm && threshold.is_none() {
        return Ok(None);
    }
    let pins = clevis.tang.len().saturating_add(usize::from(tpm));
    let asked = threshold.unwrap_or(1);
    let needed = usize::try_from(asked).ok().filter(|needed| *needed <= pins);
    let Some(needed) = needed else {
        return Err(refuse(
            place.key("threshold"),
            format!("{asked} of {pins} servers and TPMs cannot be had"),
            "add tang servers or tpm2, or lower the threshold",
        ));
    };
    let (tang, servers) = tang(clevis, place)?;
    let mut parts = Map::new();
    if !tang.is_empty() {
        parts.insert("tang".to_owned(), Value::Array(tang));
    }
    if tpm {
        parts.insert("tpm2".to_owned(), json!({}));
    }
    let mut words: Vec<String> = clevis.tang.iter().map(|tang| display(&tang.url)).collect();
    words.extend(tpm.then(|| "TPM".to_owned()));
    let now = servers.len().saturating_add(usize::from(tpm));
    Ok(Some(Binding {
        pin: "sss".to_owned(),
        config: Secret::new(json!({"pins": parts, "t": asked}).to_string()),
        to: format!("{needed} of {}", words.join(", ")),
        servers,
        proves: now >= needed,
    }))
}

/// The servers as clevis takes them, and those that must be reached now.
#[expect(clippy::type_complexity, reason = "two lists of one walk")]
fn tang(
    clevis: &Clevis,
    place: &Pointer,
) -> Result<(Vec<Value>, Vec<(String, Resource, Pointer)>), PlanError> {
    let mut given = Vec::new();
    let mut servers = Vec::new();
    for (index, server) in clevis.tang.iter().enumerate() {
        let place = place.key("tang").index(index);
        let mut entry = Map::new();
        entry.insert("url".to_owned(), server.url.clone().into());
        if let Some(thumbprint) = server.thumbprint.as_deref().filter(|text| !text.is_empty()) {
            entry.insert("thp".to_owned(), thumbprint.into());
        }
        if let Some(advertisement) = &server.advertisement {
            let adv: Value = serde_json::from_str(advertisement).map_err(|_| {
                // Upstream lets an empty one through, and fails when the volume is made.
                let what = if advertisement.is_empty() {
                    "it is empty"
                } else {
                    "it is no JSON"
                };
                refuse(
                    place.key("advertisement"),
                    what,
                    "give what the server has under /adv, or leave it out to have it fetched",
                )
            })?;
            entry.insert("adv".to_owned(), adv);
        } else {
            let source = advertisement_of(&server.url);
            let resource = Resource {
                source: Some(source.as_str().into()),
                ..Resource::default()
            };
            servers.push((display(&source), resource, place));
        }
        given.push(Value::Object(entry));
    }
    Ok((given, servers))
}

/// Where a server advertises its keys: `adv` below its path, before a query.
fn advertisement_of(url: &str) -> String {
    let (path, rest) = url.split_at(url.find(['?', '#']).unwrap_or(url.len()));
    format!("{}/adv{rest}", path.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(text: &str) -> Result<Option<Binding>, String> {
        let clevis: Clevis = serde_json::from_str(text).unwrap();
        binding(&clevis, &Pointer::root().key("clevis"))
            .map_err(|error| format!("{}: {}", error.pointer, error.problem))
    }

    #[test]
    fn configurations() {
        for (text, config, to, servers, proves) in [
            (
                r#"{"tpm2": true}"#,
                r#"{"pins":{"tpm2":{}},"t":1}"#,
                "1 of TPM",
                0,
                true,
            ),
            (
                r#"{"tang": [{"url": "http://a", "thumbprint": "x"}, {"url": "http://u:p@b/?q=r", "thumbprint": ""}]}"#,
                r#"{"pins":{"tang":[{"thp":"x","url":"http://a"},{"url":"http://u:p@b/?q=r"}]},"t":1}"#,
                "1 of http://a, http://b/",
                2,
                true,
            ),
            (
                r#"{"tang": [{"url": "http://a", "advertisement": "{\"payload\": \"e30\"}"}], "tpm2": true, "threshold": 2}"#,
                r#"{"pins":{"tang":[{"adv":{"payload":"e30"},"url":"http://a"}],"tpm2":{}},"t":2}"#,
                "2 of http://a, TPM",
                0,
                false,
            ),
            (
                r#"{"tang": [{"url": "http://a"}], "tpm2": true, "threshold": 2}"#,
                r#"{"pins":{"tang":[{"url":"http://a"}],"tpm2":{}},"t":2}"#,
                "2 of http://a, TPM",
                1,
                true,
            ),
        ] {
            let found = bound(text).unwrap().unwrap();
            assert_eq!(found.config.reveal(), config);
            assert_eq!(found.pin, "sss");
            assert!(
                found.to.starts_with(to.split("/?").next().unwrap()),
                "{}",
                found.to
            );
            assert!(
                !found.to.contains(":p@") && !found.to.contains("q=r"),
                "{}",
                found.to
            );
            assert_eq!((found.servers.len(), found.proves), (servers, proves), "{text}");
        }
        let zero = bound(r#"{"tpm2": true, "threshold": 0}"#).unwrap().unwrap();
        assert_eq!(zero.config.reveal(), r#"{"pins":{"tpm2":{}},"t":1}"#);
        let found = bound(r#"{"tang": [{"url": "http://a"}]}"#).unwrap().unwrap();
        assert_eq!(
            found.servers[0].1.source.as_ref().unwrap().reveal(),
            "http://a/adv"
        );
        for (url, adv) in [
            ("http://a/", "http://a/adv"),
            ("http://a/x/?q=r#f", "http://a/x/adv?q=r#f"),
            ("http://[::1]:80", "http://[::1]:80/adv"),
        ] {
            assert_eq!(advertisement_of(url), adv);
        }
        assert!(bound("{}").unwrap().is_none());
        assert!(bound(r#"{"threshold": 0, "tpm2": false}"#).unwrap().is_none());
        let custom = bound(r#"{"custom": {"pin": "null", "config": "{ \"a\": 1 }"}}"#);
        let custom = custom.unwrap().unwrap();
        assert_eq!(custom.config.reveal(), "{ \"a\": 1 }");
        assert_eq!((custom.pin.as_str(), custom.proves), ("null", false));
        assert!(!format!("{custom:?}").contains("\"a\""));
    }

    #[test]
    fn what_clevis_would_refuse_is_refused_before() {
        for (text, begin) in [
            (r#"{"threshold": 1}"#, "clevis.threshold: 1 of 0 "),
            (r#"{"tpm2": true, "threshold": 2}"#, "clevis.threshold: 2 of 1 "),
            (r#"{"tpm2": true, "threshold": -1}"#, "clevis.threshold: -1 of 1 "),
            (
                r#"{"tang": [{"url": "http://a", "advertisement": ""}]}"#,
                "clevis.tang[0].advertisement: it is empty; give",
            ),
            (
                r#"{"tang": [{"url": "http://a", "advertisement": "{"}]}"#,
                "clevis.tang[0].advertisement: it is no JSON; ",
            ),
            (
                r#"{"custom": {"pin": "tang", "config": "canary"}}"#,
                "clevis.custom.config: it is no JSON object",
            ),
            (
                r#"{"custom": {"pin": "tang", "config": "[1]"}}"#,
                "clevis.custom.config: it is no JSON object",
            ),
            (
                r#"{"custom": {"pin": "-x", "config": "{}"}}"#,
                "clevis.custom.pin: ",
            ),
        ] {
            let error = bound(text).unwrap_err();
            assert!(error.starts_with(begin), "{error}");
            assert!(!error.contains("canary"));
        }
    }
}
