//! The system's config directories on a real filesystem: links, and what the in-memory host cannot show.

use std::fs;
use std::os::unix::fs::symlink;

use ignition_rs::config::types::Config;
use ignition_rs::engine::system::{SystemDirs, base, user};
use ignition_rs::sys::host::Host;

fn fragment(path: &str) -> String {
    format!(
        "{{\"ignition\":{{\"version\":\"3.3.0\"}},\"storage\":{{\"directories\":[{{\"path\":\"{path}\"}}]}}}}"
    )
}

fn paths(config: &Config) -> Vec<&str> {
    config
        .storage
        .directories
        .iter()
        .map(|directory| directory.path.as_str())
        .collect()
}

#[test]
fn a_link_that_leads_nowhere_is_absent_and_still_hides_its_name() {
    let root = tempfile::tempdir().unwrap();
    let dirs = SystemDirs(["run", "etc", "usr"].map(|name| root.path().join(name)));
    let [_, etc, usr] = &dirs.0;
    for dir in [etc, usr] {
        fs::create_dir_all(dir.join("base.d")).unwrap();
    }
    fs::write(usr.join("base.d/10-a"), fragment("/usr-a")).unwrap();
    fs::write(usr.join("base.d/20-b"), fragment("/usr-b")).unwrap();
    fs::write(root.path().join("elsewhere"), fragment("/elsewhere")).unwrap();
    symlink("/nowhere", etc.join("base.d/10-a")).unwrap();
    symlink("/nowhere", usr.join("base.d/30-c")).unwrap();
    symlink(root.path().join("elsewhere"), usr.join("base.d/40-d")).unwrap();
    assert_eq!(
        paths(&base(&Host, &dirs, None).unwrap().config),
        ["/usr-b", "/elsewhere"]
    );

    // Flatcar's initrd links the directory and user.ign to the OEM partition, which may not be mounted.
    fs::remove_dir_all(etc.join("base.d")).unwrap();
    fs::remove_dir_all(usr.join("base.d")).unwrap();
    let oem = root.path().join("oem");
    symlink(oem.join("base"), usr.join("base.d")).unwrap();
    symlink(oem.join("config.ign"), usr.join("user.ign")).unwrap();
    assert_eq!(base(&Host, &dirs, None).unwrap().config, Config::default());
    assert!(user(&Host, &dirs).unwrap().is_none());
    fs::create_dir_all(oem.join("base")).unwrap();
    fs::write(oem.join("base/x"), fragment("/oem")).unwrap();
    fs::write(oem.join("config.ign"), "user").unwrap();
    assert_eq!(paths(&base(&Host, &dirs, None).unwrap().config), ["/oem"]);
    assert_eq!(user(&Host, &dirs).unwrap().unwrap().1, b"user");

    // A directory among the fragments is an error that names it.
    fs::create_dir(oem.join("base/y")).unwrap();
    let error = base(&Host, &dirs, None).unwrap_err();
    assert!(error.to_string().contains("base.d/y"), "{error}");
}
