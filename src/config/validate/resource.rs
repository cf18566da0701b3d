//! Rules of everything that is fetched (spec/config.md 5.3).

use super::{error, require};
use crate::config::grammar::Url;
use crate::config::grammar::hash::{Function, Hash, HashError};
use crate::config::grammar::source::{self, SourceError};
use crate::config::types::{Hidden, Resource};
use crate::config::version::Version;
use crate::report::{Pointer, Report};

pub(super) fn check(resource: &Resource, at: &Pointer, version: Version, report: &mut Report) {
    if !matches!(resource.compression.as_deref(), None | Some("" | "gzip")) {
        error(
            report,
            at.key("compression"),
            "compression must be \"gzip\", empty or absent",
        );
    }
    if resource.verification.hash.is_some() && resource.source.is_none() {
        let at = at.key("verification").key("hash");
        error(
            report,
            at,
            "a hash needs a source to verify; add one or remove the hash",
        );
    }
    check_source(resource, at, version, report);
    check_scheme_for_headers(resource, at, report);

    for (index, header) in resource.http_headers.iter().enumerate() {
        let at = at.key("httpHeaders").index(index);
        if header.name.is_empty() {
            error(
                report,
                at.key("name"),
                "the name of an HTTP header must not be empty",
            );
        }
        if header
            .value
            .as_ref()
            .is_some_and(|value| value.reveal().is_empty())
        {
            let message =
                "the value of an HTTP header must not be empty; leave it out to remove a header in a merge";
            error(report, at.key("value"), message);
        }
    }
    check_verification(resource, at, version, report);
}

/// The URL rule for a source that may be absent or empty.
pub(super) fn check_source(resource: &Resource, at: &Pointer, version: Version, report: &mut Report) {
    let text = resource.source.as_ref().map_or("", Hidden::reveal);
    if !text.is_empty() {
        require(report, || at.key("source"), source::check(text, version));
    }
}

fn check_scheme_for_headers(resource: &Resource, at: &Pointer, report: &mut Report) {
    if resource.http_headers.is_empty() {
        return;
    }
    let at = at.key("httpHeaders");
    let text = resource.source.as_ref().map_or("", Hidden::reveal);
    if text.is_empty() {
        error(report, at, "HTTP headers need a source to be sent to");
        return;
    }
    match Url::parse(text) {
        Err(problem) => require(report, || at, Err(SourceError::Url(problem))),
        Ok(url) if matches!(url.scheme(), "http" | "https") => {}
        Ok(_) => error(
            report,
            at,
            "HTTP headers can only be used with an http or https source",
        ),
    }
}

/// The rule of `verification` itself.
pub(super) fn check_verification(resource: &Resource, at: &Pointer, version: Version, report: &mut Report) {
    let Some(text) = &resource.verification.hash else {
        return;
    };
    let known = |hash: Hash| {
        if hash.function == Function::Sha256 && version < Version::V3_1 {
            Err(HashError::UnknownFunction)
        } else {
            Ok(())
        }
    };
    require(
        report,
        || at.key("verification").key("hash"),
        Hash::parse(text).and_then(known),
    );
}
