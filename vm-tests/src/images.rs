//! `provision --image` where the kernel has md and the device mapper: arrays and encrypted volumes inside images, with udev and
//! systemd running and without.

use serde_json::{Value, json};

use crate::job::{Case, must, run_all};
use crate::{Disk, Flavour, Job, Lab, Result};

const MIB: u64 = 1 << 20;

const SCRIPT: &str = include_str!("../guest/images");

/// Tenths of a whole run after which one is killed, with systemd; elsewhere it is half.
const SHARES: [u32; 4] = [3, 5, 7, 8];

fn file(path: &str, text: &str) -> Value {
    json!({"path": path, "overwrite": true, "contents": {"source": format!("data:,{text}%0A")}})
}

/// An array of two partitions, an encrypted volume, and a root, on the images whose disks these are.
fn config(disks: &Value, root: &str, files: &[Value]) -> Vec<u8> {
    json!({"ignition": {"version": "3.4.0"}, "storage": {
        "disks": disks,
        "raid": [{"name": "imgdata", "level": "raid1",
            "devices": ["/dev/disk/by-partlabel/half-a", "/dev/disk/by-partlabel/half-b"]}],
        "luks": [{"name": "imgvault", "device": "/dev/disk/by-partlabel/crypt", "label": "VAULT",
            "keyFile": {"source": "data:,the%20key"}, "options": ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]}],
        "filesystems": [
            {"device": root, "format": "ext4", "label": "ROOT"},
            {"device": "/dev/md/imgdata", "format": "ext4", "label": "RAIDED", "path": "/srv"},
            {"device": "/dev/mapper/imgvault", "format": "ext4", "label": "INSIDE", "path": "/secret"}],
        "files": files,
    }})
    .to_string()
    .into_bytes()
}

fn all_files() -> Vec<Value> {
    vec![
        file("/etc/hostname", "golden"),
        file("/srv/file", "mirrored"),
        file("/secret/file", "hidden"),
    ]
}

/// Runs it in each flavour, or in those whose names have `VMTEST_ONLY` in them.
pub fn run(lab: &Lab) -> Result<()> {
    let part =
        |number: u32, label: &str, size: u32| json!({"number": number, "label": label, "sizeMiB": size});
    let one = json!([{"device": "/dev/vda", "partitions": [
        part(1, "half-a", 40), part(2, "half-b", 40), part(3, "crypt", 200), part(4, "root", 0)]}]);
    let two = json!([
        {"device": "/dev/vda", "partitions": [part(1, "half-a", 40), part(2, "root", 0)]},
        {"device": "/dev/vdb", "partitions": [part(1, "half-b", 40), part(2, "crypt", 0)]}]);
    let root = "/dev/disk/by-partlabel/root";
    // What a plan can know of files: those on arrays and volumes are not read from an image.
    let known = [file("/etc/hostname", "golden")];
    let cases = [
        ("images-bare", Flavour::Bare),
        ("images-udev", Flavour::Udev),
        ("images-systemd", Flavour::Systemd),
    ];
    let shares = |flavour| match flavour {
        Flavour::Systemd => SHARES.to_vec(),
        Flavour::Bare | Flavour::Udev => vec![5],
    };
    let cases = cases.map(|(name, flavour)| Case {
        name,
        machine: lab
            .machine(flavour, &script(&shares(flavour)))
            .disk(Disk::empty("store", 1024 * MIB))
            .file("job/one.ign", 0o644, &config(&one, root, &all_files()))
            .file("job/known.ign", 0o644, &config(&one, root, &known))
            .file("job/two.ign", 0o644, &config(&two, root, &all_files()))
            .file("job/two-known.ign", 0o644, &config(&two, root, &known))
            .timeout(std::time::Duration::from_secs(1500)),
        check: Box::new(move |job| check(job, &shares(flavour))),
    });
    let only = std::env::var("VMTEST_ONLY").unwrap_or_default();
    run_all(
        cases
            .into_iter()
            .filter(|case| case.name.contains(&only))
            .collect(),
    )
}

fn good(job: &Job, name: &str) -> Result<String> {
    let step = job.step(name)?;
    must(
        step.code == 0,
        format!("{name}: exit code {}: {}", step.code, step.stderr.trim_end()),
    )?;
    Ok(step.stdout)
}

/// A run that leaves nothing.
fn provisioned(job: &Job, name: &str) -> Result<()> {
    good(job, name)?;
    nothing(job, name)
}

fn nothing(job: &Job, name: &str) -> Result<()> {
    let left = good(job, &format!("{name}.left"))?;
    must(left.is_empty(), format!("{name} has left: {left}"))
}

fn looked(job: &Job, name: &str) -> Result<()> {
    let said = good(job, name)?;
    for line in [
        "mirrored",
        "hidden",
        "golden",
        "MD_LEVEL=raid1",
        "MD_DEVICES=2",
        "0",
    ] {
        must(
            said.lines().any(|found| found == line),
            format!("{name}: {line:?} is not in\n{said}"),
        )?;
    }
    must(
        said.lines().any(|line| line.starts_with("imgvault ")),
        format!("{name}: no line of crypttab in\n{said}"),
    )?;
    must(
        !said.contains(".ignition-progress"),
        format!("{name}: the record stays\n{said}"),
    )
}

/// What a plan would do to disks and files; the result file is written by every run.
fn changes(plan: &str) -> Result<Vec<String>> {
    let plan: Value = serde_json::from_str(plan)?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut found = Vec::new();
    for stage in list(&plan["stages"]) {
        let name = stage["stage"].as_str().unwrap_or_default();
        for step in list(&stage["steps"]) {
            let subject = ["path", "device", "name"]
                .iter()
                .find_map(|key| step[*key].as_str());
            let subject = subject.unwrap_or_default();
            let change = step["change"].as_str().unwrap_or("?");
            // Arrays and volumes are started and opened each time, with a key that is read again.
            let is_started = subject.contains("img") && matches!(change, "create" | "modify");
            // What is on them is not looked at.
            if ["/dev/md/imgdata", "/dev/mapper/imgvault"].contains(&subject)
                && step["action"] == "makeFilesystem"
            {
                must(change == "unknown", format!("a second plan: {change} {subject}"))?;
            } else if !is_started
                && !subject.contains("crypt")
                && matches!(name, "disks" | "files")
                && !subject.ends_with(".ignition-result.json")
            {
                found.push(format!("{change} {subject}"));
            }
        }
    }
    must(!found.is_empty(), "a plan without steps")?;
    must(
        plan["summary"]["destroy"] == 0,
        "a second plan destroys something",
    )?;
    Ok(found)
}

fn script(shares: &[u32]) -> String {
    let words: Vec<String> = shares.iter().map(u32::to_string).collect();
    SCRIPT.replace("SHARES", &words.join(" "))
}

fn check(job: &Job, shares: &[u32]) -> Result<String> {
    let before = job.step("plan0")?;
    must(
        before.code == 2,
        format!("plan0: {}: {}", before.code, before.stderr),
    )?;
    provisioned(job, "first")?;
    looked(job, "looked")?;
    nothing(job, "looked")?;
    let plan = job.step("plan1")?;
    must(
        plan.code == 0 || plan.code == 2,
        format!("plan1: {}: {}", plan.code, plan.stderr),
    )?;
    for change in changes(&plan.stdout)? {
        must(change.starts_with("keep "), format!("a second plan: {change}"))?;
    }
    provisioned(job, "again")?;
    looked(job, "looked2")?;
    let (mut killed, mut rests) = (0, 0);
    for share in shares {
        let run = job.step(&format!("killed{share}"))?;
        must(
            run.code == 137 || run.code == 0,
            format!("killed{share}: {}: {}", run.code, run.stderr),
        )?;
        killed += u32::from(run.code == 137);
        rests += u32::from(!good(job, &format!("killed{share}.rest"))?.is_empty());
        provisioned(job, &format!("after{share}"))?;
        looked(job, &format!("after{share}.looked"))?;
    }
    must(killed > 0, "no run was killed")?;
    provisioned(job, "both")?;
    looked(job, "both.looked")?;
    let plan = job.step("both.plan")?;
    for change in changes(&plan.stdout)? {
        must(
            change.starts_with("keep "),
            format!("a second plan of two images: {change}"),
        )?;
    }
    provisioned(job, "both.again")?;
    let taken = job.step("taken")?;
    must(
        taken.code == 1 && taken.stderr.contains("storage.luks[0]"),
        format!("a name that is taken: {}: {}", taken.code, taken.stderr),
    )?;
    nothing(job, "taken")?;
    provisioned(job, "free")?;
    Ok(format!(
        "RAID1 and LUKS on one image and on two, again, after {killed} kills ({rests} of which left something)"
    ))
}
