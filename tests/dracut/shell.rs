//! Every script of the module, read by shellcheck.

use std::fs;

use super::{has, module};
use crate::support::programs::Program;

#[test]
fn shellcheck_has_nothing_to_say() {
    if !has("shellcheck", "shellcheck") {
        return;
    }
    let scripts: Vec<_> = fs::read_dir(module())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| fs::read(path).unwrap().starts_with(b"#!"))
        .collect();
    assert!(scripts.len() >= 9, "{scripts:?}");
    let ran = Program::new("shellcheck").arg("-x").args(&scripts).run();
    ran.expect_code(0);
    assert_eq!(ran.output(), "", "{ran}");
}

/// What an initrd has is a `sh`, which may be dash or busybox.
#[test]
fn what_runs_in_an_initrd_is_for_sh() {
    for entry in fs::read_dir(module()).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        if text.starts_with("#!") {
            let builds = path.ends_with("module-setup.sh");
            let want = if builds { "#!/bin/bash\n" } else { "#!/bin/sh\n" };
            assert!(text.starts_with(want), "{}", path.display());
        }
    }
}
