//! The log (spec/cli.md 6): levels, the stack of prefixes, operations, structured messages, panics.
//!
//! Whoever logs uses `tracing`'s macros; spans made here become prefixes: `INFO     : files: createFiles: op(1f): …`.
//! Only events of this crate are written: those of libraries may hold URLs. Nothing secret is ever logged; messages are
//! written so that terminals and line-based readers cannot be fooled by what is in them.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, EnteredSpan, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_core::span::Current;

use crate::stages::{Phase, Stage};
use crate::sys::Environment;
use crate::sys::journal::{self, Kmsg, Priority, Sink, Stdout, Syslog};

/// The tag of every message, in journald the identifier.
const TAG: &str = "ignition";

/// Target of events that report a failure. The level exists only here: `tracing` ends at error.
pub const CRITICAL: &str = "ignition::critical";

/// Target of events of level notice.
pub const NOTICE: &str = "ignition::notice";

/// Where the log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The system log; in an initrd without one the kernel log; else stdout
    System,
    /// `-log-to-stdout`
    Stdout,
}

/// Where the log of this process went, for who wants to read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The journal
    Journal,
    /// Another system log
    Syslog,
    /// The kernel's log
    Kernel,
    /// Standard output
    Stdout,
}

impl Place {
    /// How to read it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Journal => "journalctl -t ignition",
            Self::Syslog => "the system log, lines of ignition",
            Self::Kernel => "dmesg, lines with \"ignition: \"",
            Self::Stdout => "above, on standard output",
        }
    }
}

static PLACE: OnceLock<Place> = OnceLock::new();

/// Where the log of this process goes; stdout before it was started.
pub fn place() -> Place {
    PLACE.get().copied().unwrap_or(Place::Stdout)
}

/// Starts the log of the process, panics included. Call it once, in `main`.
pub fn start(destination: Destination) {
    let (sink, place, trouble) = open(destination);
    let _kept = PLACE.set(place);
    let sink: Arc<dyn Sink> = sink.into();
    set_panic_hook(Arc::clone(&sink));
    // It fails only if there is a log already, which then serves.
    let _kept = tracing::subscriber::set_global_default(Lines::to(sink));
    if let Some(trouble) = trouble {
        tracing::error!("cannot open the system log, logging to stdout: {trouble}");
    }
}

fn open(destination: Destination) -> (Box<dyn Sink>, Place, Option<std::io::Error>) {
    if destination == Destination::Stdout {
        let stdout = Stdout::of(&Environment::read());
        let place = if stdout.with_levels {
            Place::Journal
        } else {
            Place::Stdout
        };
        return (Box::new(stdout), place, None);
    }
    match Syslog::connect(&journal::SYSLOG_SOCKETS, TAG) {
        Ok(syslog) if journal::is_there() => (Box::new(syslog), Place::Journal, None),
        Ok(syslog) => (Box::new(syslog), Place::Syslog, None),
        Err(trouble) => match Kmsg::open(TAG) {
            Ok(kmsg) => (Box::new(kmsg), Place::Kernel, None),
            Err(_) => (
                Box::new(Stdout::of(&Environment::read())),
                Place::Stdout,
                Some(trouble),
            ),
        },
    }
}

/// Panics are bugs. The place is logged; the message only if it is a constant, because a made one can hold anything.
fn set_panic_hook(sink: Arc<dyn Sink>) {
    std::panic::set_hook(Box::new(move |info| {
        sink.write(Priority::Critical, &panic_message(info));
        std::process::abort();
    }));
}

fn panic_message(info: &std::panic::PanicHookInfo<'_>) -> String {
    let place = info
        .location()
        .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let what = info
        .payload()
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("message withheld");
    format!("panic at {place}: {what}; this is a bug in ignition-rs, please report it")
}

/// Enters a stage: its name comes before every message until the guard goes.
pub fn stage(stage: Stage) -> EnteredSpan {
    tracing::info_span!(target: TAG, "stage", prefix = stage.name()).entered()
}

/// Enters a phase of a stage: its name comes after the stage's until the guard goes.
pub fn phase(phase: Phase) -> EnteredSpan {
    tracing::info_span!(target: TAG, "phase", prefix = phase.name()).entered()
}

/// Logs a failure that ends the run. Everything that the run survives has a lower level: the level says "not provisioned".
pub fn critical(message: &dyn fmt::Display) {
    tracing::error!(target: CRITICAL, "{message}");
}

/// Logs something that whoever reads the log should not miss.
pub fn notice(message: &dyn fmt::Display) {
    tracing::info!(target: NOTICE, "{message}");
}

/// Logs what is being waited for. All lines about waits of fetching come here; they come at least every ten seconds.
pub fn waiting(message: &dyn fmt::Display) {
    notice(message);
}

/// Tells the journal which config was used; the source is one that may be shown. No journal is no trouble; what it answers is logged.
pub fn journal_config(kind: &str, source: &str, referenced: bool) {
    let sent = journal::send(
        journal::JOURNAL_SOCKET,
        &[
            ("MESSAGE", &format!("fetched {kind} config from {source}")),
            ("PRIORITY", "6"),
            ("SYSLOG_IDENTIFIER", TAG),
            ("MESSAGE_ID", "57124006b5c94805b77ce473e92a8aeb"),
            ("IGNITION_CONFIG_TYPE", kind),
            ("IGNITION_CONFIG_SRC", source),
            (
                "IGNITION_CONFIG_REFERENCED",
                if referenced { "true" } else { "false" },
            ),
        ],
    );
    if let Err(error) = sent
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!("cannot tell the journal about the config: {error}");
    }
}

/// Tells the journal which user's SSH keys were written where. Errors are ignored.
pub fn journal_ssh_keys(user: &str, path: &str) {
    let _ignored = journal::send(
        journal::JOURNAL_SOCKET,
        &[
            (
                "MESSAGE",
                &format!("wrote ssh authorized keys file for user: {user}"),
            ),
            ("PRIORITY", "6"),
            ("SYSLOG_IDENTIFIER", TAG),
            ("MESSAGE_ID", "225067b87bbd4a0cb6ab151f82fa364b"),
            ("IGNITION_USER_NAME", user),
            ("IGNITION_PATH", path),
        ],
    );
}

/// Writes events as lines. A span is nothing but the prefixes that it stands for: those with the same ones are one span, so that
/// there are few, and they are kept for good.
struct Lines {
    sink: Arc<dyn Sink>,
    spans: Mutex<Vec<Arc<Span>>>,
}

/// A stack of prefixes.
struct Span {
    id: Id,
    metadata: &'static Metadata<'static>,
    /// `files: createFiles: `: those of the spans around it, then its own
    prefixes: String,
}

thread_local! {
    /// The spans that this thread is in, the innermost last
    static ENTERED: RefCell<Vec<Arc<Span>>> = const { RefCell::new(Vec::new()) };
}

/// The span that this thread is in.
fn current() -> Option<Arc<Span>> {
    ENTERED
        .try_with(|entered| entered.borrow().last().cloned())
        .ok()
        .flatten()
}

#[derive(Default)]
struct Texts {
    message: String,
    prefix: Option<String>,
}

impl Visit for Texts {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => {
                let _ = write!(self.message, "{value:?}");
            }
            "prefix" => self.prefix = Some(format!("{value:?}")),
            name => {
                let _ = write!(self.message, " {name}={value:?}");
            }
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "prefix" {
            self.prefix = Some(value.to_owned());
        } else {
            self.record_debug(field, &value);
        }
    }
}

fn is_ours(target: &str) -> bool {
    let root = target.split("::").next().unwrap_or_default();
    root == env!("CARGO_CRATE_NAME") || root == TAG
}

impl Lines {
    fn to(sink: Arc<dyn Sink>) -> Self {
        let spans = Mutex::default();
        Self { sink, spans }
    }

    fn spans(&self) -> MutexGuard<'_, Vec<Arc<Span>>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_ours(metadata.target()) && *metadata.level() <= Level::DEBUG
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut texts = Texts::default();
        attributes.record(&mut texts);
        let mut prefixes = current().map_or_else(String::new, |outer| outer.prefixes.clone());
        if let Some(prefix) = texts.prefix {
            let _ = write!(prefixes, "{prefix}: ");
        }
        let metadata = attributes.metadata();
        let mut spans = self.spans();
        if let Some(known) = spans
            .iter()
            .find(|span| span.prefixes == prefixes && span.metadata == metadata)
        {
            return known.id.clone();
        }
        let before = u64::try_from(spans.len()).unwrap_or(u64::MAX);
        let id = Id::from_non_zero_u64(NonZeroU64::MIN.saturating_add(before));
        spans.push(Arc::new(Span {
            id: id.clone(),
            metadata,
            prefixes,
        }));
        id
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn enter(&self, id: &Id) {
        let known = self.spans().iter().find(|span| span.id == *id).cloned();
        if let Some(span) = known {
            let _ = ENTERED.try_with(|entered| entered.borrow_mut().push(span));
        }
    }

    fn exit(&self, id: &Id) {
        let _ = ENTERED.try_with(|entered| {
            let mut entered = entered.borrow_mut();
            if let Some(at) = entered.iter().rposition(|span| span.id == *id) {
                entered.remove(at);
            }
        });
    }

    fn current_span(&self) -> Current {
        current().map_or_else(Current::none, |span| Current::new(span.id.clone(), span.metadata))
    }

    fn event(&self, event: &Event<'_>) {
        let mut texts = Texts::default();
        event.record(&mut texts);
        let line = current().map_or_else(String::new, |span| span.prefixes.clone()) + &texts.message;
        let metadata = event.metadata();
        self.sink
            .write(priority(metadata.target(), *metadata.level()), &plain(&line));
    }
}

fn priority(target: &str, level: Level) -> Priority {
    match (target, level) {
        (CRITICAL, _) => Priority::Critical,
        (NOTICE, _) => Priority::Notice,
        (_, Level::ERROR) => Priority::Error,
        (_, Level::WARN) => Priority::Warning,
        (_, Level::INFO) => Priority::Info,
        (_, Level::DEBUG | Level::TRACE) => Priority::Debug,
    }
}

/// The longest message, in bytes: a datagram that is larger is refused as a whole.
const LONGEST: usize = 32 << 10;

/// A message that cannot pass for another one: further lines are indented, control characters are spelled out. A very
/// long one is cut.
fn plain(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    for letter in message.trim_end_matches('\n').chars() {
        if out.len() > LONGEST {
            out.push_str("...");
            break;
        }
        match letter {
            '\n' => out.push_str("\n  "),
            '\t' => out.push('\t'),
            letter if letter.is_control() => out.extend(letter.escape_default()),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl Sink for Kept {
        fn write(&self, priority: Priority, message: &str) {
            self.0
                .lock()
                .unwrap()
                .push(format!("{} {message}", priority.word()));
        }
    }

    fn logged(work: impl FnOnce()) -> Vec<String> {
        let kept = Arc::new(Kept::default());
        tracing::subscriber::with_default(Lines::to(kept.clone()), work);
        kept.0.lock().unwrap().drain(..).collect()
    }

    #[test]
    fn levels_and_prefixes() {
        let lines = logged(|| {
            tracing::info!("before");
            let _stage = stage(Stage::Files);
            tracing::debug!("in the stage");
            let phase = phase(Phase::Nodes);
            tracing::warn!(path = "/x", "in the phase");
            drop(phase);
            tracing::error!("survivable");
            notice(&"look");
            critical(&"dead");
            tracing::trace!("too much");
            tracing::info!(target: "hyper::client", "not ours");
            tracing::info!(target: "ignition_rs_other", "ours by name only");
        });
        assert_eq!(
            lines,
            [
                "INFO     : before",
                "DEBUG    : files: in the stage",
                "WARNING  : files: nodes: in the phase path=\"/x\"",
                "ERROR    : files: survivable",
                "NOTICE   : files: look",
                "CRITICAL : files: dead",
            ]
        );
    }

    #[test]
    fn threads_take_over_the_prefixes() {
        let lines = logged(|| {
            let _stage = stage(Stage::Files);
            let phase = phase(Phase::Nodes);
            let span = tracing::Span::current();
            drop(phase);
            let log = tracing::dispatcher::get_default(Clone::clone);
            let thread = std::thread::spawn(move || {
                tracing::dispatcher::with_default(&log, || {
                    tracing::info!("in none");
                    span.in_scope(|| tracing::info!("in both"));
                    tracing::info!("in none again");
                });
            });
            thread.join().unwrap();
            tracing::info!("in the stage");
        });
        assert_eq!(
            lines,
            [
                "INFO     : in none",
                "INFO     : files: nodes: in both",
                "INFO     : in none again",
                "INFO     : files: in the stage",
            ]
        );
    }

    #[test]
    fn spans_that_are_left_in_any_order_or_entered_again() {
        let lines = logged(|| {
            let outer = stage(Stage::Files);
            let inner = phase(Phase::Nodes);
            drop(outer);
            tracing::info!("in the inner one");
            drop(inner);
            tracing::info!("in none");
            let _again = phase(Phase::Nodes);
            tracing::info!("in the phase alone");
        });
        assert_eq!(
            lines,
            [
                "INFO     : files: nodes: in the inner one",
                "INFO     : in none",
                "INFO     : nodes: in the phase alone",
            ]
        );
    }

    #[test]
    fn messages_cannot_forge_lines_or_drive_a_terminal() {
        let lines = logged(|| tracing::info!("a\nCRITICAL : b\x1b[2J\r\u{9b}c\n"));
        assert_eq!(lines, ["INFO     : a\n  CRITICAL : b\\u{1b}[2J\\r\\u{9b}c"]);
    }

    #[test]
    fn long_messages_are_cut() {
        let lines = logged(|| tracing::info!("{}", "\u{e9}".repeat(LONGEST)));
        assert!(lines[0].len() < LONGEST + 20 && lines[0].ends_with("\u{e9}..."));
    }

    #[test]
    fn stdout_is_what_was_asked_for() {
        let (_, place, trouble) = open(Destination::Stdout);
        assert_eq!(place, Place::Stdout);
        assert!(trouble.is_none());
    }
}
