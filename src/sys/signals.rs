//! SIGTERM ends a stage at the next step boundary: the handler only sets a flag, which the executor asks for.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

static TERMINATED: AtomicBool = AtomicBool::new(false);

extern "C" fn remember(_: libc::c_int) {
    TERMINATED.store(true, Ordering::Relaxed);
}

/// From now on SIGTERM is remembered instead of ending the process.
pub fn watch() -> io::Result<()> {
    remember_signal(Signal::SIGTERM)
}

/// The same for what a terminal sends.
pub fn watch_terminal() -> io::Result<()> {
    remember_signal(Signal::SIGINT)?;
    remember_signal(Signal::SIGHUP)
}

fn remember_signal(signal: Signal) -> io::Result<()> {
    let action = SigAction::new(
        SigHandler::Handler(remember),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    #[expect(unsafe_code, reason = "a signal handler can be installed in no other way")]
    // SAFETY: the handler only stores to an atomic, which is async-signal-safe.
    unsafe { sigaction(signal, &action) }?;
    Ok(())
}

/// Whether SIGTERM has arrived since [`watch`].
pub fn terminated() -> bool {
    TERMINATED.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sigterm_is_remembered() {
        watch().unwrap();
        assert!(!terminated());
        nix::sys::signal::raise(Signal::SIGTERM).unwrap();
        assert!(terminated());
    }
}
