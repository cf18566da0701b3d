//! A small HTTP server that answers from a script: one connection, one answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What happens on a connection after the request is read.
#[derive(Clone)]
pub(super) enum Act {
    /// Nothing for a while
    Wait(Duration),
    /// These bytes
    Send(Vec<u8>),
}

/// One answer.
pub(super) type Answer = Vec<Act>;

/// An answer with status, header lines and body; the length is that of the body.
pub(super) fn answer(status: u16, headers: &str, body: &[u8]) -> Answer {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} Whatever\r\nContent-Length: {length}\r\n{headers}\r\n");
    vec![Act::Send([head.as_bytes(), body].concat())]
}

/// The server. It ends with its script.
pub(super) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(super) fn plain(script: Vec<Answer>) -> Self {
        Self::plain_at("127.0.0.1", script)
    }

    pub(super) fn plain_at(address: &str, script: Vec<Answer>) -> Self {
        Self::plain_on(address, 0, script)
    }

    /// On a port that is known.
    pub(super) fn plain_on(address: &str, port: u16, script: Vec<Answer>) -> Self {
        Self::start((address, port), script, None)
    }

    pub(super) fn tls_at(address: &str, script: Vec<Answer>, config: ServerConfig) -> Self {
        Self::start((address, 0), script, Some(Arc::new(config)))
    }

    fn start(address: (&str, u16), script: Vec<Answer>, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for answer in script {
                let Ok((stream, _)) = listener.accept() else {
                    return;
                };
                // A client that goes away is the client's affair.
                let _ = match &tls {
                    None => converse(stream, answer, &seen),
                    Some(config) => {
                        let connection = ServerConnection::new(Arc::clone(config)).unwrap();
                        converse(StreamOwned::new(connection, stream), answer, &seen)
                    }
                };
            }
        });
        Self { address, requests }
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(super) fn url(&self, rest: &str) -> String {
        format!("http://{}{rest}", self.address)
    }

    pub(super) fn https(&self, host: &str, rest: &str) -> String {
        format!("https://{host}:{}{rest}", self.address.port())
    }

    /// `user:password@` before the host.
    pub(super) fn url_of(&self, user: &str, rest: &str) -> String {
        format!("http://{user}@{}{rest}", self.address)
    }

    /// Heads of the requests so far.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn converse(mut stream: impl Stream, answer: Answer, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Ok(());
        }
        head.push(byte[0]);
    }
    seen.lock().unwrap().push(String::from_utf8(head).unwrap());
    for act in answer {
        match act {
            Act::Wait(time) => thread::sleep(time),
            Act::Send(bytes) => {
                stream.write_all(&bytes)?;
                stream.flush()?;
            }
        }
    }
    stream.finish();
    Ok(())
}

trait Stream: Read + Write {
    fn finish(&mut self) {}
}

impl Stream for TcpStream {}

impl Stream for StreamOwned<ServerConnection, TcpStream> {
    fn finish(&mut self) {
        self.conn.send_close_notify();
        let _ = self.flush();
    }
}
