//! Whether this machine can reach others: its links, addresses, routes and nameservers, and waiting until they change.
//!
//! A first boot often fetches before the network is there. What is missing can be said, and a wait can end as soon as an
//! address or a route appears, because the kernel tells (rtnetlink(7)).

mod kernel;
mod rtnetlink;

use std::sync::Mutex;
use std::time::Duration;

use super::Clock;
pub use kernel::Kernel;

/// Tells whether others can be reached.
pub trait Reachability: Sync {
    /// Begins to watch: what changes from now on ends a [`Watch::wait`]. `None`: it cannot be watched here.
    fn watch<'a>(&'a self) -> Option<Box<dyn Watch + 'a>>;
}

/// A watch over addresses, routes and nameservers.
pub trait Watch {
    /// How it is now; `None`: nobody says.
    fn found(&mut self) -> Option<Found>;

    /// Waits for this time, or until an address, a route or a nameserver has appeared since the last wait. May end early
    /// for a signal.
    fn wait(&mut self, time: Duration) -> Woken;
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The time is over
    Time,
    /// Something appeared
    Change,
}

/// What there is to reach others with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Interfaces beside the loopback
    pub links: Vec<Interface>,
    /// Whether any route leads everywhere
    pub default_route: bool,
    /// Nameservers of `/etc/resolv.conf`
    pub nameservers: Vec<String>,
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// `eth0`
    pub name: String,
    /// It is up, and there is something at the other end
    pub ready: bool,
    /// It has an address that is good beyond the link
    pub global: bool,
    /// It has an address that is good on the link
    pub link_local: bool,
}

/// The most names that are listed.
const MOST_NAMES: usize = 4;

impl Found {
    /// What is missing to reach others, the first thing in order of need; `None` if nothing is.
    pub fn missing(&self) -> Option<String> {
        let names = |wanted: fn(&Interface) -> bool| {
            let all: Vec<&str> = self
                .links
                .iter()
                .filter(|link| wanted(link))
                .map(|link| link.name.as_str())
                .collect();
            let mut text = all
                .iter()
                .take(MOST_NAMES)
                .copied()
                .collect::<Vec<_>>()
                .join(", ");
            if all.len() > MOST_NAMES {
                text.push_str(", ...");
            }
            text
        };
        if self.links.is_empty() {
            return Some("no network interface".to_owned());
        }
        if self.links.iter().any(|link| link.global) {
            return (!self.default_route).then(|| "no default route".to_owned());
        }
        if !self.links.iter().any(|link| link.ready) {
            return Some(format!("no link on {}", names(|_| true)));
        }
        if self.links.iter().any(|link| link.link_local) {
            return Some(format!(
                "only a link-local address on {}",
                names(|link| link.link_local)
            ));
        }
        Some(format!("no address on {}", names(|link| link.ready)))
    }

    /// The nameservers, as they are said.
    pub fn nameservers(&self) -> String {
        if self.nameservers.is_empty() {
            return "no nameserver in /etc/resolv.conf".to_owned();
        }
        let list: Vec<&str> = self
            .nameservers
            .iter()
            .take(MOST_NAMES)
            .map(String::as_str)
            .collect();
        format!("nameservers in /etc/resolv.conf: {}", list.join(", "))
    }
}

/// The nameservers that a resolv.conf(5) names.
fn nameservers(text: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(text)
        .lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            (words.next() == Some("nameserver"))
                .then(|| words.next())
                .flatten()
        })
        .map(str::to_owned)
        .collect()
}

/// Nothing is known, so whoever waits waits blindly.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blind;

impl Reachability for Blind {
    fn watch<'a>(&'a self) -> Option<Box<dyn Watch + 'a>> {
        None
    }
}

/// A machine whose network appears after some time of a fake clock.
pub struct FakeReach<'a> {
    clock: &'a dyn Clock,
    /// When what is found changes, and to what; the first is at zero
    states: Vec<(Duration, Found)>,
    told: Mutex<Duration>,
}

impl<'a> FakeReach<'a> {
    /// What is found from which moment of the clock on.
    pub fn new(clock: &'a dyn Clock, states: Vec<(Duration, Found)>) -> Self {
        Self {
            clock,
            states,
            told: Mutex::default(),
        }
    }
}

impl std::fmt::Debug for FakeReach<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeReach").finish_non_exhaustive()
    }
}

impl Reachability for FakeReach<'_> {
    fn watch<'b>(&'b self) -> Option<Box<dyn Watch + 'b>> {
        Some(Box::new(self))
    }
}

impl Watch for &FakeReach<'_> {
    fn found(&mut self) -> Option<Found> {
        let now = self.clock.monotonic();
        self.states
            .iter()
            .rfind(|(since, _)| *since <= now)
            .map(|(_, found)| found.clone())
    }

    fn wait(&mut self, time: Duration) -> Woken {
        let now = self.clock.monotonic();
        let end = now.saturating_add(time);
        let mut told = self
            .told
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let next = self
            .states
            .iter()
            .map(|(since, _)| *since)
            .find(|since| *since > *told && *since <= end);
        if let Some(next) = next {
            *told = next;
            self.clock.sleep(next.saturating_sub(now));
            return Woken::Change;
        }
        self.clock.sleep(time);
        Woken::Time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(name: &str, ready: bool, global: bool, link_local: bool) -> Interface {
        Interface {
            name: name.to_owned(),
            ready,
            global,
            link_local,
        }
    }

    #[test]
    fn what_is_missing_is_said_in_order_of_need() {
        let table = [
            (vec![], false, Some("no network interface")),
            (
                vec![
                    link("eth0", false, false, false),
                    link("eth1", false, false, false),
                ],
                false,
                Some("no link on eth0, eth1"),
            ),
            (
                vec![
                    link("eth0", true, false, false),
                    link("eth1", false, false, false),
                ],
                false,
                Some("no address on eth0"),
            ),
            (
                vec![link("eth0", true, false, true), link("eth1", true, false, false)],
                true,
                Some("only a link-local address on eth0"),
            ),
            (
                vec![link("eth0", true, true, true)],
                false,
                Some("no default route"),
            ),
            (vec![link("eth0", true, true, false)], true, None),
            (
                ["a", "b", "c", "d", "e"]
                    .map(|name| link(name, true, false, false))
                    .to_vec(),
                false,
                Some("no address on a, b, c, d, ..."),
            ),
        ];
        for (links, default_route, want) in table {
            let found = Found {
                links,
                default_route,
                nameservers: Vec::new(),
            };
            assert_eq!(found.missing().as_deref(), want);
        }
    }

    #[test]
    fn resolv_conf() {
        let text = b"# nameserver 1.1.1.1\nsearch nameserver\nnameserver 192.0.2.1\n nameserver\t2001:db8::1 x\nnameserver\n\xff\n";
        assert_eq!(nameservers(text), ["192.0.2.1", "2001:db8::1"]);
        let found = Found {
            nameservers: nameservers(text),
            ..Found::default()
        };
        assert_eq!(
            found.nameservers(),
            "nameservers in /etc/resolv.conf: 192.0.2.1, 2001:db8::1"
        );
        assert_eq!(
            Found::default().nameservers(),
            "no nameserver in /etc/resolv.conf"
        );
    }
}
