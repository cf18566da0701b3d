//! Rules of `ignition` (spec/config.md 5.2).

use super::{error, require, resource, warning};
use crate::config::grammar::semver::Semver;
use crate::config::grammar::{Url, source};
use crate::config::types::{Hidden, Ignition, Proxy, Resource};
use crate::config::version::Version;
use crate::report::{Pointer, Report};

pub(super) fn check(ignition: &Ignition, at: &Pointer, version: Version, report: &mut Report) {
    check_version(&ignition.version, at.key("version"), version, report);

    let config = at.key("config");
    let merge = config.key("merge");
    check_sources(&ignition.config.merge, &merge, version, report);
    for (index, child) in ignition.config.merge.iter().enumerate() {
        check_reference(child, &merge.index(index), version, report);
    }
    check_reference(&ignition.config.replace, &config.key("replace"), version, report);

    check_proxy(&ignition.proxy, &at.key("proxy"), report);

    let authorities = &ignition.security.tls.certificate_authorities;
    let list = at.key("security").key("tls").key("certificateAuthorities");
    check_sources(authorities, &list, version, report);
    for (index, authority) in authorities.iter().enumerate() {
        let at = list.index(index);
        if version == Version::V3_0 {
            let text = authority.source.as_ref().map_or("", Hidden::reveal);
            require(report, || at.key("source"), source::check(text, version));
            resource::check_verification(authority, &at, version, report);
        } else {
            resource::check(authority, &at, version, report);
        }
    }
}

fn check_version(text: &str, at: Pointer, version: Version, report: &mut Report) {
    match Semver::parse(text) {
        Err(problem) => require(report, || at, Err(problem)),
        Ok(semver) if semver.version() != Some(version) => {
            error(
                report,
                at,
                format!("version is not {version}, by whose rules this config is checked"),
            );
        }
        Ok(_) => {}
    }
}

/// Since 3.1 each reference of a list must have a source. A bad one is reported twice, here and with the resource
/// itself.
fn check_sources(list: &[Resource], at: &Pointer, version: Version, report: &mut Report) {
    if version == Version::V3_0 {
        return;
    }
    for (index, resource) in list.iter().enumerate() {
        match resource.source.as_ref().map(Hidden::reveal) {
            None | Some("") => error(
                report,
                at.index(index),
                "a source is required here: give the URL to fetch",
            ),
            Some(text) => require(report, || at.index(index), source::check(text, version)),
        }
    }
}

/// A config reference. In 3.0 it is less than a resource.
fn check_reference(reference: &Resource, at: &Pointer, version: Version, report: &mut Report) {
    if version == Version::V3_0 {
        resource::check_source(reference, at, version, report);
        resource::check_verification(reference, at, version, report);
    } else {
        resource::check(reference, at, version, report);
    }
}

fn check_proxy(proxy: &Proxy, at: &Pointer, report: &mut Report) {
    let fields = [
        (&proxy.http_proxy, at.key("httpProxy"), false),
        (&proxy.https_proxy, at.key("httpsProxy"), true),
    ];
    for (value, at, carries_https) in fields {
        let Some(text) = value else { continue };
        match Url::parse(text.reveal()).map(|url| url.scheme().to_owned()) {
            Err(problem) => require(report, || at, Err(source::SourceError::Url(problem))),
            Ok(scheme) if scheme == "http" && carries_https => {
                warning(
                    report,
                    at,
                    "the proxy for https is itself reached over plain http; use an https URL",
                );
            }
            Ok(scheme) if scheme == "http" || scheme == "https" => {}
            Ok(_) => error(report, at, "a proxy must be an http or https URL"),
        }
    }
}
