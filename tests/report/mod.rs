//! What a boot tells: its report, and the message at the end.

mod post;
mod written;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::support::programs::{BINARY, Program, Ran};
use crate::support::root::Root;
use crate::support::schema::Checker;

fn checker() -> Checker {
    Checker::new(serde_json::from_str(include_str!("../../docs/report.schema.json")).unwrap())
}

/// A machine in its initrd.
struct Boot {
    root: Root,
    run: PathBuf,
    config: PathBuf,
}

impl Boot {
    fn new(config: &Value) -> Self {
        let root = Root::system();
        let run = root.beside().join("run");
        fs::create_dir(&run).unwrap();
        symlink(BINARY, root.beside().join("ignition")).unwrap();
        let config = root.file_beside("user.json", config.to_string());
        Self { root, run, config }
    }

    fn program(&self, stage: &str) -> Program {
        let at = |name: &str| self.run.join(name);
        Program::new(self.root.beside().join("ignition"))
            .args(["-platform", "file", "-stage", stage, "-log-to-stdout"])
            .args(["-root".as_ref(), self.root.path().as_os_str()])
            .args(["-config-cache".as_ref(), at("ignition.json").as_os_str()])
            .args(["-neednet".as_ref(), at("ignition/neednet").as_os_str()])
            .args(["-state-file".as_ref(), at("ignition/state").as_os_str()])
            .env("IGNITION_CONFIG_FILE", &self.config)
            .env("IGNITION_SYSTEM_CONFIG_DIR", at("system"))
            .env("TMPDIR", self.root.beside().join("tmp"))
    }

    /// The same with these words on the kernel command line.
    fn with_cmdline(&self, program: Program, words: &str) -> Program {
        let file = self
            .root
            .file_beside("cmdline", format!("BOOT_IMAGE=/vmlinuz {words} quiet\n"));
        program.under(
            [
                "unshare",
                "--mount",
                "sh",
                "-c",
                "mount --bind \"$0\" /proc/cmdline && exec \"$@\"",
                file.to_str().unwrap(),
            ]
            .iter(),
        )
    }

    fn stage(&self, stage: &str) -> Ran {
        self.program(stage).run()
    }

    fn path(&self) -> PathBuf {
        self.run.join("ignition/report.jsonl")
    }

    /// The lines of the report, each of which conforms to the schema.
    fn report(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path()).unwrap();
        assert!(text.ends_with('\n'));
        let checker = checker();
        text.lines()
            .map(|line| {
                let value: Value =
                    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
                checker
                    .check_all(&value)
                    .unwrap_or_else(|problem| panic!("{problem}: {line}"));
                value
            })
            .collect()
    }
}

/// The members of the lines that are of an event.
fn events<'v>(lines: &'v [Value], event: &str) -> Vec<&'v Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

/// A server that gives each connection the next answer, and keeps what it was asked.
pub(crate) struct Sink {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<(String, Vec<u8>)>>>,
}

impl Sink {
    /// Answers of status and body.
    pub(crate) fn new(answers: Vec<(u16, Vec<u8>)>) -> Self {
        Self::start(answers, None)
    }

    /// The same over TLS.
    fn tls(answers: Vec<(u16, Vec<u8>)>, config: ServerConfig) -> Self {
        Self::start(answers, Some(Arc::new(config)))
    }

    fn start(answers: Vec<(u16, Vec<u8>)>, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for (status, body) in answers {
                let Ok((stream, _)) = listener.accept() else {
                    return;
                };
                // A client that goes away is the client's affair.
                let _ = match &tls {
                    None => converse(stream, status, &body, &seen),
                    Some(config) => {
                        let connection = ServerConnection::new(Arc::clone(config)).unwrap();
                        converse(StreamOwned::new(connection, stream), status, &body, &seen)
                    }
                };
            }
        });
        Self { address, requests }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Heads and bodies so far.
    pub(crate) fn requests(&self) -> Vec<(String, Vec<u8>)> {
        self.requests.lock().unwrap().clone()
    }
}

fn converse(
    mut stream: impl Read + Write,
    status: u16,
    body: &[u8],
    seen: &Mutex<Vec<(String, Vec<u8>)>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Ok(());
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .to_ascii_lowercase()
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or(0);
    let mut sent = vec![0; length];
    stream.read_exact(&mut sent)?;
    seen.lock().unwrap().push((head, sent));
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} Whatever\r\nContent-Length: {length}\r\n\r\n"
    )?;
    stream.write_all(body)?;
    stream.flush()
}
