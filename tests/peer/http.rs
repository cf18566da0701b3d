//! A server that answers by path, as often as it is asked.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// What is under a path.
#[derive(Clone, Debug)]
pub(super) enum Page {
    /// These bytes
    Bytes(Vec<u8>),
    /// These bytes, for who sends this header line
    For(&'static str, Vec<u8>),
    /// Another path
    Elsewhere(&'static str),
    /// A status without a body
    Status(u16),
}

/// The server; it ends with the test program.
pub(super) struct Server {
    address: SocketAddr,
}

impl Server {
    /// Starts it.
    pub(super) fn start(pages: BTreeMap<&'static str, Page>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let pages = Arc::new(pages);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let pages = Arc::clone(&pages);
                // A client that goes away is the client's affair.
                thread::spawn(move || {
                    let _ = answer(stream, &pages);
                });
            }
        });
        Self { address }
    }

    /// Its address, as the beginning of a URL.
    pub(super) fn base(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn answer(mut stream: TcpStream, pages: &BTreeMap<&'static str, Page>) -> std::io::Result<()> {
    let mut lines = Vec::new();
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let path = lines
        .first()
        .and_then(|line| line.split(' ').nth(1))
        .unwrap_or_default();
    let (status, more, body) = match pages.get(path) {
        Some(Page::Bytes(body)) => (200, String::new(), body.as_slice()),
        Some(Page::For(line, body)) if lines.iter().any(|found| found.eq_ignore_ascii_case(line)) => {
            (200, String::new(), body.as_slice())
        }
        Some(Page::For(..)) => (403, String::new(), &b""[..]),
        Some(Page::Elsewhere(path)) => (302, format!("Location: {path}\r\n"), &b""[..]),
        Some(Page::Status(status)) => (*status, String::new(), &b""[..]),
        None => (404, String::new(), &b"no such page"[..]),
    };
    write!(
        stream,
        "HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\nConnection: close\r\n{more}\r\n",
        body.len()
    )?;
    stream.write_all(body)
}
