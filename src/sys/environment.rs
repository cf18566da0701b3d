//! The environment, read once.

use std::ffi::OsString;
use std::path::PathBuf;

/// Every variable that the program looks at. A variable that is set but empty counts as not set, but for those whose
/// emptiness says something (`NO_COLOR`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `container`: set by container managers; `ignition-apply` asks
    pub container: Option<OsString>,
    /// `IGNITION_CONFIG_FILE`: the platform `file` reads this config
    pub config_file: Option<PathBuf>,
    /// `IGNITION_SYSTEM_CONFIG_DIR`: instead of `/usr/lib/ignition`
    pub system_config_dir: Option<PathBuf>,
    /// `IGNITION_SYSTEM_LOCAL_CONFIG_DIR`: instead of `/etc/ignition`
    pub system_local_config_dir: Option<PathBuf>,
    /// `IGNITION_SYSTEM_RUNTIME_CONFIG_DIR`: instead of `/run/ignition`
    pub system_runtime_config_dir: Option<PathBuf>,
    /// `IGNITION_OEM_LOOKASIDE_DIR`: where `oem:` URLs are looked up first
    pub oem_lookaside_dir: Option<PathBuf>,
    /// `IGNITION_WRITE_AUTHORIZED_KEYS_FRAGMENT`: `true`, `1`, `false` or `0`
    pub write_authorized_keys_fragment: Option<OsString>,
    /// `SSL_CERT_FILE`: CA bundle instead of the system's
    pub ssl_cert_file: Option<PathBuf>,
    /// `SSL_CERT_DIR`: colon-separated CA directories instead of the system's
    pub ssl_cert_dir: Option<OsString>,
    /// `JOURNAL_STREAM`: what systemd made stdout or stderr, if that is the journal
    pub journal_stream: Option<OsString>,
    /// `PATH`: where programs are looked for
    pub path: Option<OsString>,
    /// `TMPDIR`: where private temporary directories are made
    pub tmpdir: Option<PathBuf>,
    /// `NO_COLOR`: set and not empty, output has no colours (no-color.org)
    pub no_color: bool,
    /// `TERM`: `dumb` has no colours either
    pub term: Option<OsString>,
}

impl Environment {
    /// Reads the process's environment.
    pub fn read() -> Self {
        Self::from_lookup(|name| std::env::var_os(name))
    }

    /// Reads an environment given as a function.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Self {
        let text = |name| lookup(name).filter(|value: &OsString| !value.is_empty());
        let path = |name| text(name).map(PathBuf::from);
        Self {
            container: text("container"),
            config_file: path("IGNITION_CONFIG_FILE"),
            system_config_dir: path("IGNITION_SYSTEM_CONFIG_DIR"),
            system_local_config_dir: path("IGNITION_SYSTEM_LOCAL_CONFIG_DIR"),
            system_runtime_config_dir: path("IGNITION_SYSTEM_RUNTIME_CONFIG_DIR"),
            oem_lookaside_dir: path("IGNITION_OEM_LOOKASIDE_DIR"),
            write_authorized_keys_fragment: text("IGNITION_WRITE_AUTHORIZED_KEYS_FRAGMENT"),
            ssl_cert_file: path("SSL_CERT_FILE"),
            ssl_cert_dir: text("SSL_CERT_DIR"),
            journal_stream: text("JOURNAL_STREAM"),
            path: text("PATH"),
            tmpdir: path("TMPDIR"),
            no_color: text("NO_COLOR").is_some(),
            term: text("TERM"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_is_not_set() {
        let environment = Environment::from_lookup(|name| match name {
            "container" | "NO_COLOR" => Some(OsString::new()),
            "TMPDIR" => Some("/var/tmp".into()),
            _ => None,
        });
        let expected = Environment {
            tmpdir: Some("/var/tmp".into()),
            ..Environment::default()
        };
        assert_eq!(environment, expected);
    }

    #[test]
    fn every_variable_has_its_field() {
        let environment = Environment::from_lookup(|name| Some(name.into()));
        assert_eq!(environment.container.unwrap(), "container");
        assert_eq!(
            environment.config_file.unwrap().as_os_str(),
            "IGNITION_CONFIG_FILE"
        );
        assert_eq!(
            environment.system_config_dir.unwrap().as_os_str(),
            "IGNITION_SYSTEM_CONFIG_DIR"
        );
        assert_eq!(
            environment.system_local_config_dir.unwrap().as_os_str(),
            "IGNITION_SYSTEM_LOCAL_CONFIG_DIR"
        );
        assert_eq!(
            environment.system_runtime_config_dir.unwrap().as_os_str(),
            "IGNITION_SYSTEM_RUNTIME_CONFIG_DIR"
        );
        assert_eq!(
            environment.oem_lookaside_dir.unwrap().as_os_str(),
            "IGNITION_OEM_LOOKASIDE_DIR"
        );
        assert_eq!(
            environment.write_authorized_keys_fragment.unwrap(),
            "IGNITION_WRITE_AUTHORIZED_KEYS_FRAGMENT"
        );
        assert_eq!(environment.ssl_cert_file.unwrap().as_os_str(), "SSL_CERT_FILE");
        assert_eq!(environment.ssl_cert_dir.unwrap(), "SSL_CERT_DIR");
        assert_eq!(environment.path.unwrap(), "PATH");
        assert_eq!(environment.term.unwrap(), "TERM");
        assert!(environment.no_color);
    }
}
