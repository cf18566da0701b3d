//! The platform `qemu`: the config comes through the real firmware configuration device and its sysfs, the URL of the
//! kernel command line through the real `/proc/cmdline`.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::job::{Case, must, run_all};
use crate::{Doing as _, Job, Kernel, Machine, Result};

/// Flatcar's name, which is asked for first.
const FLATCAR: &str = "opt/org.flatcar-linux/config";
/// Upstream's name.
const COREOS: &str = "opt/com.coreos/config";
/// Files of the large configs.
const FILES: usize = 10_000;
/// The size of each, so that the configs have about 1 and 4 MB.
const SMALL: usize = 20;
const BIG: usize = 228;

/// The first stage as the initrd runs it. The kernel module is not loaded before.
const FETCH: &str = "
[ -e /sys/firmware/qemu_fw_cfg ] && exit 90
mkdir -p /target/etc
step fetch ignition -root /target -platform qemu -stage fetch-offline
cp /run/ignition.json /out/cache
cp /run/ignition/state /out/state
[ -e /run/ignition/neednet ] && touch /out/neednet
[ -e /sys/firmware/qemu_fw_cfg ] && touch /out/loaded
exit 0
";

/// The device is there already, and nothing could load it.
const FETCH_WITHOUT_MODPROBE: &str = "
modprobe qemu_fw_cfg
rm /usr/sbin/modprobe /usr/lib/busybox/modprobe
mkdir -p /target/etc
step fetch ignition -root /target -platform qemu -stage fetch-offline
cp /run/ignition.json /out/cache
cp /run/ignition/state /out/state
touch /out/loaded
exit 0
";

/// Both stages of a boot, into a root that has the files that a distribution ships.
const PROVISION: &str = "
mkdir /target
mount -t tmpfs -o mode=0755 tmpfs /target
mkdir -p /target/etc /target/home
echo 'root:x:0:0:root:/root:/bin/bash' >/target/etc/passwd
echo 'root:*:19000:0:99999:7:::' >/target/etc/shadow
echo 'root:x:0:' >/target/etc/group
echo 'root:*::' >/target/etc/gshadow
chmod 0640 /target/etc/shadow /target/etc/gshadow
step fetch ignition -root /target -platform qemu -stage fetch-offline
step files ignition -root /target -platform qemu -stage files
cp /run/ignition.json /out/cache
cp /run/ignition/state /out/state
touch /out/loaded
cp /target/etc/.ignition-result.json /out/result
cp /target/etc/passwd /target/etc/shadow /target/etc/group /out/
cp /target/etc/systemd/system-preset/20-ignition.preset /out/preset
cp /target/home/operator/.ssh/authorized_keys.d/ignition /out/keys
cd /target/srv && cat * >/out/contents && ls | wc -l >/out/count && cd /
step owner stat -c '%U %u:%g %a' /target/srv/00042
step home stat -c '%u:%g %a' /target/home/operator
ls -a /target >/out/top
find /target -name '*ignition*' >/out/ours
exit 0
";

/// How the entry is read: in a run of its own, which strace slows down.
const TRACE: &str = "
modprobe qemu_fw_cfg
raw=/sys/firmware/qemu_fw_cfg/by_name/opt/org.flatcar-linux/config/raw
mkdir -p /target/etc
step traced strace -f -o /out/trace -P $raw -e trace=read,pread64,readv ignition -root /target -platform qemu \\
  -stage fetch-offline
step cat dd if=$raw of=/dev/null bs=4M
exit 0
";

/// The config of 4 MB, which takes minutes: the kernel reads the entry from its start for each page.
pub fn run_4mb(kernel: &Kernel, initrd: &Path) -> Result<()> {
    run_all(vec![Case {
        name: "fw-cfg-4mb",
        machine: Machine::new(kernel, initrd, PROVISION)
            .fw_cfg(FLATCAR, large(BIG).as_bytes())
            .timeout(Duration::from_secs(1800)),
        check: Box::new(|job| check_large(job, BIG)),
    }])
}

/// Runs them.
pub fn run(kernel: &Kernel, initrd: &Path) -> Result<()> {
    let boot = |script: &str| Machine::new(kernel, initrd, script);
    let url = |key: &str, name: &str| format!("{key}=data:,{}", percent(&config(name)));
    let case = |name, machine, check: fn(&Job) -> Result<String>| Case {
        name,
        machine,
        check: Box::new(check),
    };
    run_all(vec![
        // The longest first.
        case(
            "fw-cfg-large",
            boot(PROVISION).fw_cfg(FLATCAR, large(SMALL).as_bytes()),
            |job| check_large(job, SMALL),
        ),
        case(
            "fw-cfg-reads",
            boot(TRACE).fw_cfg(FLATCAR, padded().as_bytes()),
            check_reads,
        ),
        case(
            "fw-cfg-flatcar",
            boot(FETCH).fw_cfg(FLATCAR, config("flatcar").as_bytes()),
            |job| got(job, "qemu", Some("flatcar")),
        ),
        case(
            "fw-cfg-coreos",
            boot(FETCH).fw_cfg(COREOS, config("coreos").as_bytes()),
            |job| got(job, "qemu", Some("coreos")),
        ),
        // Upstream's name stands first in QEMU's table.
        case(
            "fw-cfg-both",
            boot(FETCH)
                .fw_cfg(COREOS, config("coreos").as_bytes())
                .fw_cfg(FLATCAR, config("flatcar").as_bytes()),
            |job| got(job, "qemu", Some("flatcar")),
        ),
        case("fw-cfg-none", boot(FETCH), |job| got(job, "qemu", None)),
        // The first name with nothing in it: there, so the second is not asked for.
        case(
            "fw-cfg-zero-bytes",
            boot(FETCH)
                .fw_cfg(FLATCAR, b"")
                .fw_cfg(COREOS, config("coreos").as_bytes()),
            |job| got(job, "qemu", None),
        ),
        case(
            "fw-cfg-loaded-before",
            boot(FETCH_WITHOUT_MODPROBE).fw_cfg(FLATCAR, config("flatcar").as_bytes()),
            |job| got(job, "qemu", Some("flatcar")),
        ),
        case(
            "fw-cfg-command-line",
            boot(FETCH)
                .fw_cfg(FLATCAR, config("flatcar").as_bytes())
                .argument(&url("ignition.config.url", "line")),
            |job| {
                must(job.out("loaded").is_err(), "the device was asked for")?;
                cached(job, "cmdline", Some("line"))
            },
        ),
        case(
            "fw-cfg-last-name",
            boot(FETCH)
                .fw_cfg(FLATCAR, config("flatcar").as_bytes())
                .argument(&url("ignition.config.url", "one"))
                .argument(&url("coreos.config.url", "two"))
                .argument(&url("flatcar.config.url", "three")),
            |job| cached(job, "cmdline", Some("three")),
        ),
        case(
            "fw-cfg-last-name-2",
            boot(FETCH)
                .argument(&url("flatcar.config.url", "one"))
                .argument(&url("coreos.config.url", "two"))
                .argument(&url("ignition.config.url", "three")),
            |job| cached(job, "cmdline", Some("three")),
        ),
        case(
            "fw-cfg-wrong",
            boot(FETCH).fw_cfg(FLATCAR, wrong().as_bytes()),
            check_wrong,
        ),
    ])
}

/// A config that can be told from others.
fn config(name: &str) -> String {
    format!(
        r#"{{"ignition":{{"version":"3.4.0"}},"storage":{{"files":[{{"path":"/from/{name}","contents":{{"source":"data:,x"}}}}]}}}}"#
    )
}

/// As a data URL has it, and without a character that a kernel command line or QEMU reads otherwise.
fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            let _never = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// After the device was asked.
fn got(job: &Job, source: &str, name: Option<&str>) -> Result<String> {
    must(job.out("loaded").is_ok(), "the kernel module was not loaded")?;
    cached(job, source, name)
}

/// The stage succeeded, without network, and the cache has this config from this source.
fn cached(job: &Job, source: &str, name: Option<&str>) -> Result<String> {
    let fetch = job.step("fetch")?;
    must(
        fetch.code == 0,
        format!("fetch-offline: exit code {}\n{}", fetch.code, fetch.stderr),
    )?;
    must(job.out("neednet").is_err(), "it asked for the network")?;
    let cache: Value = serde_json::from_slice(&job.out("cache")?).doing("the cache")?;
    let files = cache.pointer("/storage/files");
    let found = files.and_then(|files| files.pointer("/0/path")?.as_str());
    let want = name.map(|name| format!("/from/{name}"));
    must(found == want.as_deref(), format!("the cache has {found:?}"))?;
    // A platform without a config is not a source.
    from(job, name.map(|_| source))?;
    Ok(format!(
        "{} in {:.2} s",
        name.map_or_else(
            || "no config: the empty one".to_owned(),
            |name| format!("{source}: {name}")
        ),
        fetch.time.as_secs_f64()
    ))
}

/// The state says that the user's config is of this source.
fn from(job: &Job, source: Option<&str>) -> Result<()> {
    let state: Value = serde_json::from_slice(&job.out("state")?).doing("the state")?;
    let user = state
        .pointer("/fetchedConfigs")
        .and_then(Value::as_array)
        .and_then(|fetched| fetched.iter().find(|one| one["kind"] == "user"));
    let found = user.and_then(|user| user["source"].as_str());
    must(found == source, format!("the state says {found:?}"))
}

/// The content of a file of the large config.
fn content(number: usize, size: usize) -> String {
    let line = format!("{number:05} of a large config; ");
    line.chars().cycle().take(size).collect()
}

fn large(size: usize) -> String {
    let mut files = String::new();
    for number in 0..FILES {
        let comma = if number == 0 { "" } else { "," };
        let source = content(number, size).replace(' ', "%20");
        let _never = write!(
            files,
            r#"{comma}{{"path":"/srv/{number:05}","user":{{"name":"operator"}},"contents":{{"source":"data:,{source}"}}}}"#
        );
    }
    format!(
        r#"{{"ignition":{{"version":"3.4.0"}},
"passwd":{{
 "groups":[{{"name":"operators","gid":1600}}],
 "users":[{{"name":"operator","uid":1500,"primaryGroup":"operators","shell":"/bin/bash","passwordHash":"$6$salt$hash",
  "sshAuthorizedKeys":["ssh-ed25519 AAAA operator"]}}]}},
"systemd":{{"units":[{{"name":"a.service","enabled":true,"contents":"[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"}}]}},
"storage":{{"files":[{files}]}}}}"#
    )
}

fn check_large(job: &Job, size: usize) -> Result<String> {
    let (fetch, files) = (job.step("fetch")?, job.step("files")?);
    must(
        fetch.code == 0,
        format!("fetch-offline: {}\n{}", fetch.code, fetch.stderr),
    )?;
    must(
        files.code == 0,
        format!("files: {}\n{}", files.code, files.stderr),
    )?;
    from(job, Some("qemu"))?;
    let cache: Value = serde_json::from_slice(&job.out("cache")?).doing("the cache")?;
    let cached = cache.pointer("/storage/files").and_then(Value::as_array);
    must(
        cached.is_some_and(|files| files.len() == FILES),
        "files in the cache",
    )?;

    must(
        job.text("count")?.trim() == FILES.to_string(),
        "the number of files",
    )?;
    let want: String = (0..FILES).map(|number| content(number, size)).collect();
    must(
        job.out("contents")? == want.as_bytes(),
        "the contents of the files",
    )?;
    let owner = job.step("owner")?.stdout;
    must(
        owner.trim() == "UNKNOWN 1500:0 644",
        format!("owner and mode: {owner}"),
    )?;
    let home = job.step("home")?.stdout;
    must(home.starts_with("1500:1600 "), format!("the home: {home}"))?;
    for (file, line) in [
        ("passwd", "operator:x:1500:1600:"),
        ("shadow", "operator:$6$salt$hash:"),
        ("group", "operators:x:1600:"),
        ("preset", "enable a.service"),
        ("keys", "ssh-ed25519 AAAA operator"),
    ] {
        let text = job.text(file)?;
        must(
            text.lines().any(|found| found.starts_with(line)),
            format!("{file} has no {line}:\n{text}"),
        )?;
    }
    let result: Value = serde_json::from_slice(&job.out("result")?).doing("the result file")?;
    must(
        result.get("userConfigProvided") == Some(&Value::Bool(true)),
        format!("the result file: {result}"),
    )?;
    // Nothing of the run is left behind but the result, the preset and the keys.
    let ours = job.text("ours")?;
    let mut ours: Vec<&str> = ours.lines().collect();
    ours.sort_unstable();
    must(
        ours == [
            "/target/etc/.ignition-result.json",
            "/target/etc/systemd/system-preset/20-ignition.preset",
            "/target/home/operator/.ssh/authorized_keys.d/ignition",
        ],
        format!("files of ours: {ours:?}"),
    )?;
    let top = job.text("top")?;
    let top: Vec<&str> = top.split_whitespace().collect();
    must(
        top == [".", "..", "etc", "home", "srv"],
        format!("the top: {top:?}"),
    )?;

    Ok(format!(
        "{} bytes: fetch-offline {:.1} s, {FILES} files {:.1} s",
        large(size).len(),
        fetch.time.as_secs_f64(),
        files.time.as_secs_f64(),
    ))
}

/// A config of many pages.
fn padded() -> String {
    format!("{}{}", config("padded"), " ".repeat(200_000))
}

/// The entry is read in as few reads as the kernel allows.
fn check_reads(job: &Job) -> Result<String> {
    must(job.step("traced")?.code == 0, "the traced run")?;
    let trace = job.text("trace")?;
    let reads = trace.lines().filter(|line| line.contains("read")).count();
    // The kernel gives a page for each read of this file, however much is asked for.
    let least = padded().len().div_ceil(4096);
    must(
        (least..=least + 2).contains(&reads),
        format!("{reads} reads for {least} pages"),
    )?;
    Ok(format!("{reads} reads for {least} pages"))
}

/// Many warnings before the error: the kernel drops messages of a program that writes many in a short time.
fn wrong() -> String {
    let unknown: String = (0..30).map(|number| format!("\"unknown{number}\":1,")).collect();
    format!(r#"{{"ignition":{{"version":"3.4.0"}},{unknown}"storage":{{"files":[{{"path":"relative"}}]}}}}"#)
}

fn check_wrong(job: &Job) -> Result<String> {
    let fetch = job.step("fetch")?;
    must(fetch.code == 1, format!("exit code {}", fetch.code))?;
    must(job.out("cache").is_err(), "there is a cache")?;
    // The script sends stderr elsewhere: what is on the console came through the kernel log.
    for part in ["storage.files[0].path", "path must be absolute"] {
        must(fetch.stderr.contains(part), format!("stderr has no {part}"))?;
    }
    let line = job
        .console
        .lines()
        .find(|line| line.contains(": storage.files[0].path (") && line.contains("path must be absolute"));
    must(line.is_some(), "the kernel log does not say why")?;
    // The digest itself is written to the console, whole and as it is on stderr.
    must(
        job.console.replace('\r', "").contains(&fetch.stderr),
        "the console does not have the digest",
    )?;
    Ok("exit 1, and the console has the digest".to_owned())
}
