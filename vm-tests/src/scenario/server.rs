//! A server on this machine, which guests reach as 10.0.2.2.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::{Doing as _, Result, packages};

/// An HTTP server with files that it has in memory. It lives as long as the process.
pub struct Server {
    /// Where it listens
    pub port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// One that has these paths.
    pub fn start(files: &[(&str, Vec<u8>)]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").doing("a server on 127.0.0.1")?;
        let port = listener.local_addr()?.port();
        let files: Arc<BTreeMap<String, Vec<u8>>> = Arc::new(
            files
                .iter()
                .map(|(path, content)| ((*path).to_owned(), content.clone()))
                .collect(),
        );
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().filter_map(std::result::Result::ok) {
                let (files, noted) = (files.clone(), noted.clone());
                // A client that goes away is no failure of the server.
                std::thread::spawn(move || drop(answer(stream, &files, &noted)));
            }
        });
        Ok(Self { port, asked })
    }

    /// Each request that came: the path, then its headers, a line each.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().map(|asked| asked.clone()).unwrap_or_default()
    }
}

fn answer(
    mut stream: TcpStream,
    files: &BTreeMap<String, Vec<u8>>,
    asked: &Mutex<Vec<String>>,
) -> Result<()> {
    let mut request = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while !request.ends_with("\r\n\r\n") {
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
    }
    let path = request.split_whitespace().nth(1).unwrap_or_default().to_owned();
    if let Ok(mut asked) = asked.lock() {
        asked.push(request.replace('\r', ""));
    }
    let (status, body) = match files.get(&path) {
        Some(body) => ("200 OK", body.as_slice()),
        None => ("404 Not Found", b"404 page not found\n".as_slice()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    Ok(())
}

/// An HTTPS server with a certificate for 10.0.2.2, by an authority that nobody knows. It lives as long as this value.
pub struct TlsServer {
    /// Where it listens
    pub port: u16,
    directory: PathBuf,
    openssl: Child,
}

impl TlsServer {
    /// One with these files, in a directory of its own.
    pub fn start(directory: &Path, files: &[(&str, &[u8])]) -> Result<Self> {
        std::fs::create_dir_all(directory).doing(directory.display())?;
        for (name, content) in files {
            std::fs::write(directory.join(name), content)?;
        }
        let openssl = |words: &str| {
            packages::run(
                Command::new("openssl")
                    .args(words.split_whitespace())
                    .current_dir(directory),
            )
        };
        openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 30 -subj /CN=vm-tests-ca",
        )?;
        openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out request.pem -subj /CN=vm-tests",
        )?;
        std::fs::write(
            directory.join("extensions"),
            "subjectAltName=IP:10.0.2.2\nbasicConstraints=CA:FALSE\n",
        )?;
        openssl(
            "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile extensions -out certificate.pem",
        )?;
        // A port that was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let openssl = Command::new("openssl")
            .args([
                "s_server",
                "-quiet",
                "-WWW",
                "-cert",
                "certificate.pem",
                "-key",
                "key.pem",
            ])
            .args(["-accept", &format!("127.0.0.1:{port}")])
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .doing("openssl s_server")?;
        Ok(Self {
            port,
            directory: directory.to_path_buf(),
            openssl,
        })
    }

    /// The authority's certificate in base64.
    pub fn authority(&self) -> Result<String> {
        let text = packages::run(
            Command::new("openssl")
                .args(["base64", "-A", "-in", "ca.pem"])
                .current_dir(&self.directory),
        )?;
        Ok(text.trim().to_owned())
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _gone = self.openssl.kill();
        let _reaped = self.openssl.wait();
    }
}
