//! A server that answers each request on a thread of its own, as the test says.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// What is sent for a path.
pub(crate) enum Page {
    /// All of it
    Whole(Vec<u8>),
    /// So many bytes of it, and then nothing more for a long time
    Stalled(Vec<u8>, usize),
    /// A status without a body
    Status(u16),
}

/// The server; it ends with the test program.
#[derive(Clone, Copy)]
pub(crate) struct Pages(SocketAddr);

impl Pages {
    /// Starts it. `page` says what is under a path, and may take its time.
    pub(crate) fn start(page: impl Fn(&str) -> Page + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let page = Arc::new(page);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let page = Arc::clone(&page);
                // A client that goes away is the client's affair.
                thread::spawn(move || {
                    let _ = answer(stream, &*page);
                });
            }
        });
        Self(address)
    }

    /// The URL of a path.
    pub(crate) fn url(self, path: &str) -> String {
        format!("http://{}{path}", self.0)
    }
}

fn answer(mut stream: TcpStream, page: &dyn Fn(&str) -> Page) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = first.split(' ').nth(1).unwrap_or_default();
    let (status, body, sent) = match page(path) {
        Page::Whole(body) => (200, body, usize::MAX),
        Page::Stalled(body, sent) => (200, body, sent),
        Page::Status(status) => (status, Vec::new(), usize::MAX),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} Whatever\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(&body[..sent.min(length)])?;
    if sent < length {
        thread::sleep(Duration::from_secs(120));
    }
    Ok(())
}
