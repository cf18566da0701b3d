//! Rules of `storage.luks` (spec/config.md 5.9).

use super::{check_path, error, given, require, resource};
use crate::config::grammar::Url;
use crate::config::grammar::source::{self, SourceError};
use crate::config::types::{Clevis, ClevisCustom, Hidden, Luks, Tang};
use crate::config::version::Version;
use crate::json::Document;
use crate::report::{Pointer, Report};

/// Room for a label in a LUKS2 header, without its final NUL.
const LABEL_MAX: usize = 47;

pub(super) fn check(luks: &Luks, at: &Pointer, version: Version, report: &mut Report) {
    if luks.name.contains('/') {
        error(
            report,
            at.key("name"),
            "the name of a LUKS volume must not contain a slash",
        );
    }
    if luks.label.as_ref().is_some_and(|label| label.len() > LABEL_MAX) {
        error(
            report,
            at.key("label"),
            format!("the label of a LUKS volume can have at most {LABEL_MAX} bytes"),
        );
    }
    match given(luks.device.as_ref()) {
        None => error(
            report,
            at.key("device"),
            "a device is required: give the path of the device to encrypt",
        ),
        Some(device) => check_path(device, || at.key("device"), report),
    }

    let others = !luks.clevis.tang.is_empty()
        || luks.clevis.tpm2 == Some(true)
        || luks.clevis.threshold.is_some_and(|threshold| threshold != 0);
    if uses_custom(&luks.clevis.custom, version) && others {
        let message = "a custom clevis pin cannot be used together with tang, tpm2 or threshold";
        error(report, at.key("clevis"), message);
    }
    let key_source = luks.key_file.source.as_ref().map_or("", Hidden::reveal);
    if !key_source.is_empty() && source::check(key_source, version).is_err() {
        error(report, at.key("keys"), "the source of keyFile is not valid");
    }
    if luks.cex.enabled == Some(true) {
        if others || given(luks.clevis.custom.pin.as_ref()).is_some() {
            error(report, at.key("cex"), "cex cannot be used together with clevis");
        }
        if !key_source.is_empty() {
            error(
                report,
                at.key("cex"),
                "cex cannot be used together with a keyFile",
            );
        }
    }

    check_clevis(&luks.clevis, &at.key("clevis"), version, report);
    resource::check(&luks.key_file, &at.key("keyFile"), version, report);
}

/// In 3.2 the object itself counts, even if it is empty; it then has a pin, which may be empty.
fn uses_custom(custom: &ClevisCustom, version: Version) -> bool {
    if version <= Version::V3_2 {
        custom.pin.is_some()
    } else {
        given(custom.pin.as_ref()).is_some()
    }
}

fn check_clevis(clevis: &Clevis, at: &Pointer, version: Version, report: &mut Report) {
    check_custom(&clevis.custom, &at.key("custom"), version, report);
    let list = at.key("tang");
    for (index, tang) in clevis.tang.iter().enumerate() {
        check_tang(tang, &list.index(index), report);
    }
}

fn check_custom(custom: &ClevisCustom, at: &Pointer, version: Version, report: &mut Report) {
    let pin = given(custom.pin.as_ref());
    let config = given(custom.config.as_ref());
    let needs_network = version >= Version::V3_3 && custom.needs_network == Some(true);
    if pin.is_none() && config.is_none() && !needs_network {
        return;
    }
    match pin {
        Some("tpm2" | "tang" | "sss") => {}
        Some(_) if version >= Version::V3_6 => {}
        Some(_) => {
            let message = format!("clevis pin is not known in spec {version}; expected tpm2, tang or sss");
            error(report, at.key("pin"), message);
        }
        None => error(report, at.key("pin"), "a custom clevis configuration needs a pin"),
    }
    if config.is_none() {
        error(report, at.key("config"), "a custom clevis pin needs a config");
    }
}

fn check_tang(tang: &Tang, at: &Pointer, report: &mut Report) {
    match Url::parse(&tang.url) {
        Err(problem) => require(report, || at.key("url"), Err(SourceError::Url(problem))),
        Ok(url) if matches!(url.scheme(), "http" | "https") => {}
        Ok(_) => error(
            report,
            at.key("url"),
            "a tang server is given by an http or https URL",
        ),
    }
    if given(tang.thumbprint.as_ref()).is_none() {
        error(
            report,
            at.key("thumbprint"),
            "a thumbprint is required: it is how the server is recognised",
        );
    }
    if given(tang.advertisement.as_ref()).is_some_and(|text| !is_json(text)) {
        error(
            report,
            at.key("advertisement"),
            "the advertisement must be JSON, written as a string",
        );
    }
}

fn is_json(text: &str) -> bool {
    Document::parse(text.as_bytes()).is_ok()
}
