//! Scripted stand-ins for tests.

use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;

use super::http::{Http, HttpError, Request, Response};

/// A network that answers from a script and remembers what it was asked.
#[derive(Default)]
pub(crate) struct FakeHttp {
    script: Mutex<VecDeque<Result<(u16, Option<String>, Vec<u8>), HttpError>>>,
    requests: Mutex<Vec<Request>>,
}

impl FakeHttp {
    pub(crate) fn answer(&self, status: u16, body: &[u8]) {
        self.script
            .lock()
            .unwrap()
            .push_back(Ok((status, None, body.to_vec())));
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
