//! Other machines: little memory, a TPM, no disk, real firmware and a real boot loader.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::computer::{CHANGES, FW_CFG};
use super::{Computer, Play, Scenario, basics, disks};
use crate::job::must;
use crate::packages::{self, OVMF};
use crate::{Archive, Debian, Doing as _, Result, store};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "memory-768",
        shows: "the first boot of `disks` with 768 MiB",
        ci: false,
        play: |play| disks::disks(play, 768),
    },
    Scenario {
        name: "memory-smallest",
        shows: "with how little memory `first-boot` comes up; says it",
        ci: false,
        play: smallest,
    },
    Scenario {
        name: "tpm",
        shows: "a volume that is bound to a TPM2, opened by it at the next boot",
        ci: false,
        play: tpm,
    },
    Scenario {
        name: "ram",
        shows: "PXE: everything in RAM, flatcar.first_boot=1; no disk is touched",
        ci: false,
        play: ram,
    },
    Scenario {
        name: "uefi",
        shows: "UEFI and GRUB, which look for the flag themselves; the second boot does nothing",
        ci: false,
        play: uefi,
    },
];

fn smallest(play: &Play) -> Result<()> {
    let mut enough = None;
    for memory in [384, 256, 224, 192, 160] {
        let mut computer = Computer::new(play, &format!("{memory}"))?
            .fw_cfg(FW_CFG, basics::CONFIG)
            .with(|machine| machine.memory(memory));
        let boot = computer.run("", "", |machine| machine)?;
        if boot.up().and_then(|()| boot.provisioned(true)).is_err() {
            break;
        }
        computer.forget()?;
        enough = Some(memory);
    }
    let enough = enough.ok_or("384 MiB are not enough")?;
    play.say(&format!("{enough} MiB are enough"));
    Ok(())
}

/// A TPM of this machine. It lives as long as this value.
struct Tpm(Child);

impl Drop for Tpm {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn tpm(play: &Play) -> Result<()> {
    let config = r#"{"ignition": {"version": "3.3.0"}, "storage": {
  "disks": [{"device": "/dev/vdb", "wipeTable": true, "partitions": [{"number": 1, "label": "crypt"}]}],
  "luks": [{"name": "bound", "device": "/dev/disk/by-partlabel/crypt", "label": "BOUND", "wipeVolume": true,
    "options": ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"], "clevis": {"tpm2": true}}],
  "filesystems": [{"device": "/dev/mapper/bound", "format": "ext4", "label": "INNER", "path": "/srv/bound", "wipeFilesystem": true}],
  "files": [{"path": "/srv/bound/f", "contents": {"source": "data:,bound"}}]},
  "systemd": {"units": [{"name": "srv-bound.mount", "enabled": true,
    "contents": "[Mount]\nWhat=/dev/disk/by-label/INNER\nWhere=/srv/bound\nType=ext4\n[Install]\nRequiredBy=local-fs.target\n"}]}}"#;
    let directory = play.directory.join("tpm");
    std::fs::create_dir_all(&directory).doing(directory.display())?;
    let socket = directory.join("sock").display().to_string();
    let mut computer = Computer::new(play, "computer")?
        .config(config)
        .disk("data", 256)?
        .with(|machine| {
            machine.more(&[
                "-chardev",
                &format!("socket,id=tpm,path={socket}"),
                "-tpmdev",
                "emulator,id=tpm0,chardev=tpm",
                "-device",
                "tpm-crb,tpmdev=tpm0",
            ])
        });
    // It ends when QEMU does.
    let start = || -> Result<Tpm> {
        let child = Command::new("swtpm")
            .args(["socket", "--tpm2", "--terminate", "--tpmstate"])
            .arg(format!("dir={}", directory.display()))
            .arg("--ctrl")
            .arg(format!("type=unixio,path={socket}"))
            .stdin(Stdio::null())
            .spawn()
            .doing("swtpm")?;
        std::thread::sleep(Duration::from_secs(1));
        Ok(Tpm(child))
    };
    let questions = [
        // No key is kept, and the line names none: who opens it asks for a passphrase, which clevis gives.
        (
            "ls -d /etc/luks; cut -d' ' -f1,3,4 /etc/crypttab",
            "bound none luks",
        ),
        (
            "cryptsetup luksDump /dev/vdb1 | sed -n 's/^ *\\([0-9]*: \\(luks2\\|clevis\\)\\)$/\\1/p'",
            "1: luks2\n0: clevis",
        ),
        (
            "findmnt -no SOURCE,FSTYPE /srv/bound | tr -s ' '; cat /srv/bound/f",
            "/dev/mapper/bound ext4\nbound",
        ),
        ("systemctl is-active systemd-cryptsetup@bound.service", "active"),
        CHANGES,
    ];
    let running = start()?;
    computer.first_boot(&questions)?;
    drop(running);
    let running = start()?;
    computer.later_boot(&questions)?;
    drop(running);
    Ok(())
}

fn ram(play: &Play) -> Result<()> {
    let config = r#"{"ignition": {"version": "3.3.0"},
  "storage": {"files": [{"path": "/opt/installer", "mode": 320, "contents": {"source": "data:,install"}}]},
  "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["ssh-ed25519 AAAAcore"]}]},
  "systemd": {"units": [{"name": "shipped.service", "enabled": true}]}}"#;
    let computer = Computer::new(play, "computer")?.config(config);
    // The disk of an installed system is there, with its flag, and must stay as it is.
    let image = std::fs::read(&computer.system).doing(computer.system.display())?;
    let from = usize::try_from(computer.offset(3)?)?;
    let to = usize::try_from(computer.offset(4)?)?;
    let mut archive = Archive::new();
    archive.add_file("usr.squashfs", 0o644, image.get(from..to).ok_or("no USR-A")?);
    let usr = play.directory.join("usr.cpio");
    std::fs::write(&usr, archive.finish()).doing(usr.display())?;
    let mut computer = computer.in_ram(&["flatcar.first_boot=1"], &usr);
    let boot = computer.boot(&[
        ("findmnt -no FSTYPE /", "tmpfs"),
        ("findmnt -no FSTYPE /usr", "squashfs"),
        ("cat /opt/installer; stat -c ' %a' /opt/installer", "install 500"),
        (
            "cat ~core/.ssh/authorized_keys.d/ignition",
            "ssh-ed25519 AAAAcore",
        ),
        ("systemctl is-active shipped.service", "active"),
        CHANGES,
    ])?;
    boot.provisioned(true)?;
    must(computer.flag()?, "the flag of the installed system is gone")?;
    // Kernel arguments cannot be kept by a machine without a boot loader; and it must not reboot for ever.
    let config = r#"{"ignition": {"version": "3.3.0"}, "kernelArguments": {"shouldExist": ["x=1"]}}"#;
    let mut computer = computer.config(config);
    computer.failing_boot(&["kargs"], "")?;
    let now = std::fs::read(&computer.system)?;
    must(
        now.get(from..) == image.get(from..),
        "the installed system's disk was changed",
    )
}

/// What Flatcar's grub.cfg does, for one kernel.
const GRUB: &str = r#"set timeout=0
set first_boot=""
search --no-floppy --set=esp --label EFI-SYSTEM
if [ -f ($esp)/flatcar/first_boot ]; then set first_boot="flatcar.first_boot=detected"; fi
search --no-floppy --set=oem --label OEM
set oem_id=""
set linux_append=""
if [ -f ($oem)/grub.cfg ]; then source ($oem)/grub.cfg; fi
linux ($esp)/flatcar/vmlinuz-a console=ttyS0 panic=-1 reboot=t mitigations=off no_timer_check nokaslr audit=0 apparmor=0 random.trust_cpu=on ARGUMENTS $first_boot flatcar.oem.id=$oem_id $linux_append
initrd ($esp)/flatcar/initrd ($esp)/flatcar/binary
boot
"#;

const GRUB_MODULES: &str =
    "part_gpt fat ext2 search search_label search_fs_file normal linux echo test configfile";

fn uefi(play: &Play) -> Result<()> {
    let store = store();
    let grub = Debian::fetch(&store, &["grub-efi-amd64-bin", "grub-common"])?;
    let config = play.directory.join("grub.cfg");
    let mut arguments = super::computer::ARGUMENTS.to_owned();
    if let Some(clock) = crate::machine::clock() {
        arguments = format!("{arguments} {clock}");
    }
    std::fs::write(&config, GRUB.replace("ARGUMENTS", &arguments))?;
    let loader = play.directory.join("grubx64.efi");
    packages::run(
        grub.command("usr/bin/grub-mkstandalone")
            .arg("-d")
            .arg(grub.path("usr/lib/grub/x86_64-efi"))
            .args(["-O", "x86_64-efi", "--locales=", "--fonts=", "--themes="])
            .args([
                &format!("--modules={GRUB_MODULES}"),
                &format!("--install-modules={GRUB_MODULES}"),
            ])
            .arg("-o")
            .arg(&loader)
            .arg(format!("boot/grub/grub.cfg={}", config.display())),
    )?;
    let variables = play.directory.join("variables.fd");
    std::fs::copy(format!("{OVMF}/OVMF_VARS_4M.fd"), &variables).doing(OVMF)?;
    let mut computer = Computer::new(play, "computer")?
        .config(basics::CONFIG)
        .with(|machine| {
            machine
                .by_firmware()
                .cpu_limit(Duration::from_secs(600))
                .more(&[
                    "-drive",
                    &format!("if=pflash,format=raw,readonly=on,file={OVMF}/OVMF_CODE_4M.fd"),
                ])
                .more(&[
                    "-drive",
                    &format!("if=pflash,format=raw,file={}", variables.display()),
                ])
        });
    computer.esp_directory("::/EFI")?;
    computer.esp_directory("::/EFI/BOOT")?;
    for (from, to) in [
        (&loader, "::/EFI/BOOT/BOOTX64.EFI"),
        (&play.scene.kernel.image, "::/flatcar/vmlinuz-a"),
        (&play.scene.initrd, "::/flatcar/initrd"),
        (&play.scene.binary, "::/flatcar/binary"),
    ] {
        computer.esp_put(from, to)?;
    }
    computer.first_boot(&basics::QUESTIONS[..12])?;
    computer.later_boot(&basics::QUESTIONS[..12])?;
    Ok(())
}
