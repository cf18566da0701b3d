//! Scripted stand-ins for tests.

use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;

use super::http::{Http, HttpError, Request, Response};

/// An answer, or why there is none: status, `Location`, body.
type Scripted = Result<(u16, Option<String>, Vec<u8>), HttpError>;

/// A network that answers from a script and remembers what it was asked.
#[derive(Default)]
pub(crate) struct FakeHttp {
    script: Mutex<VecDeque<Scripted>>,
    served: Mutex<std::collections::BTreeMap<String, Vec<u8>>>,
    requests: Mutex<Vec<Request>>,
}

impl FakeHttp {
    pub(crate) fn answer(&self, status: u16, body: &[u8]) {
        self.script
            .lock()
            .unwrap()
            .push_back(Ok((status, None, body.to_vec())));
    }

    /// Answers every request for this URL.
    pub(crate) fn serve(&self, url: &str, body: impl Into<Vec<u8>>) {
        self.served.lock().unwrap().insert(url.to_owned(), body.into());
    }

    pub(crate) fn redirect(&self, status: u16, target: &str) {
        let answer = Ok((status, Some(target.to_owned()), Vec::new()));
        self.script.lock().unwrap().push_back(answer);
    }

    pub(crate) fn fail(&self, error: HttpError) {
        self.script.lock().unwrap().push_back(Err(error));
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Http for FakeHttp {
    fn send(&self, request: &Request) -> Result<Response, HttpError> {
        self.requests.lock().unwrap().push(request.clone());
        if let Some(body) = self.served.lock().unwrap().get(request.url.reveal()) {
            return Ok(Response {
                status: 200,
                location: None,
                body: Box::new(io::Cursor::new(body.clone())),
            });
        }
        let (status, location, body) = self
            .script
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or_else(|| panic!("no answer left for {}", request.shown))?;
        Ok(Response {
            status,
            location: location.map(Into::into),
            body: Box::new(io::Cursor::new(body)),
        })
    }
}
