//! Moving contents from where they are fetched to where they are written: network, hash and disk work at once, each on a
//! thread of its own, and hand four buffers round.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::fetch::Unchecked;
use crate::fetch::hash::Check;
use crate::fetch::stop::Stop;

/// Bytes moved at a time. What fits in one costs no thread.
pub(super) const CHUNK: usize = 64 * 1024;

/// Buffers of one pipeline; with four pipelines, 1 MiB in all.
const BUFFERS: usize = 4;

/// Which end of a pipeline broke.
#[derive(Debug)]
pub(super) enum Broken {
    /// The contents did not come, or are not those asked for
    Reading(io::Error),
    /// They could not be written
    Writing(io::Error),
}

/// What is handed on.
enum Message {
    /// The next bytes
    Bytes(Vec<u8>),
    /// There are no more, and they are those asked for
    End,
    /// There will be no more
    Broken(io::Error),
}

/// Writes contents and compares their hash. What was written before an error is of no use.
pub(super) fn copy(contents: Unchecked<'_>, to: &mut dyn Write, stop: &Stop) -> Result<(), Broken> {
    let mut reader = contents.reader;
    let mut check = contents.hash.map(Check::new);
    let mut first = vec![0; CHUNK];
    let count = fill(&mut reader, &mut first, stop).map_err(Broken::Reading)?;
    first.truncate(count);
    if count < CHUNK {
        if let Some(check) = &mut check {
            check.update(&first);
        }
        check.map_or(Ok(()), Check::finish).map_err(Broken::Reading)?;
        return to.write_all(&first).map_err(Broken::Writing);
    }
    thread::scope(|scope| {
        let (empty, empties) = sync_channel(BUFFERS);
        let (full, mut fulls) = sync_channel(BUFFERS);
        let span = tracing::Span::current();
        thread::Builder::new()
            .spawn_scoped(scope, move || {
                span.in_scope(|| pull(&mut *reader, first, &full, &empties, stop));
            })
            .map_err(Broken::Reading)?;
        if let Some(check) = check {
            let (hashed, checked) = sync_channel(BUFFERS);
            let unchecked = std::mem::replace(&mut fulls, checked);
            thread::Builder::new()
                .spawn_scoped(scope, move || hash(check, &unchecked, &hashed))
                .map_err(Broken::Reading)?;
        }
        push(&fulls, &empty, to)
    })
}

/// Reads until the buffer is full; fewer bytes are the last ones.
fn fill(reader: &mut dyn Read, buffer: &mut [u8], stop: &Stop) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        if stop.is_asked() {
            return Err(io::Error::other("stopped on request"));
        }
        match reader.read(rest) {
            Ok(0) => break,
            Ok(count) => filled = filled.saturating_add(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Reads to the end; gives up when nobody takes what was read.
fn pull(
    reader: &mut dyn Read,
    first: Vec<u8>,
    full: &SyncSender<Message>,
    empties: &Receiver<Vec<u8>>,
    stop: &Stop,
) {
    let mut made = 1;
    let mut next = Message::Bytes(first);
    loop {
        let more = matches!(&next, Message::Bytes(bytes) if bytes.len() == CHUNK);
        let over = !matches!(next, Message::Bytes(_));
        if full.send(next).is_err() || over {
            return;
        }
        if !more {
            next = Message::End;
            continue;
        }
        let mut buffer = if made < BUFFERS {
            made += 1;
            vec![0; CHUNK]
        } else {
            match empties.recv() {
                Ok(buffer) => buffer,
                Err(_) => return,
            }
        };
        next = match fill(reader, &mut buffer, stop) {
            Ok(count) => {
                buffer.truncate(count);
                Message::Bytes(buffer)
            }
            Err(error) => Message::Broken(error),
        };
    }
}

/// Hashes what passes, and lets the end pass only if the hash is the one that it must be.
fn hash(mut check: Check, fulls: &Receiver<Message>, hashed: &SyncSender<Message>) {
    for message in fulls {
        let message = match message {
            Message::Bytes(bytes) => {
                check.update(&bytes);
                Message::Bytes(bytes)
            }
            Message::End => {
                let end = check.finish().map_or_else(Message::Broken, |()| Message::End);
                // Whoever would hear of it has given up.
                let _ = hashed.send(end);
                return;
            }
            broken @ Message::Broken(_) => broken,
        };
        if hashed.send(message).is_err() {
            return;
        }
    }
}

/// Writes what comes, and gives the buffers back.
fn push(fulls: &Receiver<Message>, empty: &SyncSender<Vec<u8>>, to: &mut dyn Write) -> Result<(), Broken> {
    for message in fulls {
        match message {
            Message::Bytes(bytes) => {
                to.write_all(&bytes).map_err(Broken::Writing)?;
                // After the last one nobody wants it.
                let _ = empty.send(bytes);
            }
            Message::End => return Ok(()),
            Message::Broken(error) => return Err(Broken::Reading(error)),
        }
    }
    Err(Broken::Reading(io::Error::other(
        "the thread that reads has ended; please report this",
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::hash::{Function, Hash};

    /// Gives at most `most` bytes at a time, and fails behind the last.
    struct Source {
        bytes: Vec<u8>,
        at: usize,
        most: usize,
        fails: bool,
    }

    impl Read for Source {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = buffer.len().min(self.most).min(self.bytes.len() - self.at);
            if count == 0 && self.fails {
                return Err(io::Error::other("cut"));
            }
            buffer[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
            self.at += count;
            Ok(count)
        }
    }

    fn contents(size: usize, most: usize, fails: bool, hash: Option<Hash>) -> Unchecked<'static> {
        let reader = Source {
            bytes: bytes(size),
            at: 0,
            most,
            fails,
        };
        Unchecked {
            reader: Box::new(reader),
            hash,
            attempts: 1,
        }
    }

    fn bytes(size: usize) -> Vec<u8> {
        (0_u8..251).cycle().take(size).collect()
    }

    #[test]
    fn everything_arrives_in_order_whatever_its_size() {
        for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, BUFFERS * CHUNK, 9 * CHUNK + 5] {
            for function in [None, Some(Function::Sha256), Some(Function::Sha512)] {
                let hash = function.map(|function| Hash::of(function, &bytes(size)));
                let mut got = Vec::new();
                copy(contents(size, 50_000, false, hash), &mut got, &Stop::default()).unwrap();
                assert!(got == bytes(size), "{size} {function:?}");
            }
        }
    }

    #[test]
    fn each_end_can_break() {
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if self.0 == 0 {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                self.0 -= 1;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for size in [10, 9 * CHUNK + 5, 8 * CHUNK] {
            let wrong = Hash::of(Function::Sha512, b"other");
            let right = Hash::of(Function::Sha512, &bytes(size));
            let stop = Stop::default();
            for (hash, fails) in [(Some(wrong), false), (Some(right.clone()), true), (None, true)] {
                let broken = copy(contents(size, CHUNK, fails, hash), &mut Vec::new(), &stop).unwrap_err();
                let Broken::Reading(error) = broken else {
                    panic!("{broken:?}")
                };
                let want = if fails { "cut" } else { "verification.hash" };
                assert!(error.to_string().contains(want), "{size}: {error}");
            }
            for hash in [None, Some(right)] {
                let mut full = Full(size / CHUNK / 2);
                let broken = copy(contents(size, CHUNK, false, hash), &mut full, &stop).unwrap_err();
                assert!(
                    matches!(&broken, Broken::Writing(error) if error.kind() == io::ErrorKind::StorageFull),
                    "{broken:?}"
                );
            }
        }
    }

    #[test]
    fn it_stops_when_asked() {
        struct Endless(Stop, usize);
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.1 += 1;
                if self.1 == 100 {
                    self.0.ask();
                }
                assert!(self.1 < 200, "it goes on");
                Ok(buffer.len().min(1000 * self.1))
            }
        }
        let stop = Stop::default();
        let endless = Unchecked {
            reader: Box::new(Endless(stop.clone(), 0)),
            hash: Some(Hash::of(Function::Sha512, b"")),
            attempts: 1,
        };
        let broken = copy(endless, &mut io::sink(), &stop).unwrap_err();
        assert!(matches!(broken, Broken::Reading(_)), "{broken:?}");
    }
}
