//! Links, addresses and routes of the running kernel.

use std::io;
use std::time::{Duration, Instant};

use super::rtnetlink::{self, Message, RTM_GETADDR, RTM_GETLINK, RTM_GETROUTE};
use super::{Found, Interface, Reachability, Watch, Woken, nameservers};
use crate::sys::netlink::Netlink;

/// Where the nameservers stand.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// How often the nameservers are looked at: nobody tells when they change.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long the kernel may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
/// The most datagrams that one answer may have.
const MOST_DATAGRAMS: usize = 10_000;

/// The running kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kernel;

impl Reachability for Kernel {
    fn watch<'a>(&'a self) -> Option<Box<dyn Watch + 'a>> {
        let groups = libc::RTMGRP_IPV4_IFADDR
            | libc::RTMGRP_IPV6_IFADDR
            | libc::RTMGRP_IPV4_ROUTE
            | libc::RTMGRP_IPV6_ROUTE;
        let socket = Netlink::open(libc::NETLINK_ROUTE, u32::try_from(groups).unwrap_or_default());
        match socket {
            Ok(socket) => Some(Box::new(Watching {
                socket,
                nameservers: servers(),
            })),
            Err(error) => {
                tracing::debug!("cannot watch addresses and routes: {error}");
                None
            }
        }
    }
}

/// A socket that is told of changes.
struct Watching {
    socket: Netlink,
    nameservers: Vec<String>,
}

impl Watch for Watching {
    fn found(&mut self) -> Option<Found> {
        look()
            .inspect_err(|error| tracing::debug!("cannot list addresses and routes: {error}"))
            .ok()
    }

    fn wait(&mut self, time: Duration) -> Woken {
        let started = Instant::now();
        loop {
            let now_there = servers();
            if now_there != self.nameservers {
                let more = now_there.iter().any(|server| !self.nameservers.contains(server));
                self.nameservers = now_there;
                if more {
                    return Woken::Change;
                }
            }
            let left = time.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Woken::Time;
            }
            match self.socket.receive(left.min(LOOK_EVERY)) {
                Ok(Some(bytes)) => {
                    if bytes_tell_of_more(&bytes) {
                        return Woken::Change;
                    }
                }
                Ok(None) => {}
                // So much has changed that not all of it could be told.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Woken::Change,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Woken::Time,
                Err(_) => {
                    std::thread::sleep(left);
                    return Woken::Time;
                }
            }
        }
    }
}

fn bytes_tell_of_more(bytes: &[u8]) -> bool {
    rtnetlink::messages(bytes).any(|message| match message {
        Message::Address(address) => !address.host_local,
        Message::Route { .. } => true,
        Message::Link(_) | Message::End | Message::Other => false,
    })
}

fn servers() -> Vec<String> {
    nameservers(&std::fs::read(RESOLV_CONF).unwrap_or_default())
}

/// How it is now.
fn look() -> io::Result<Found> {
    let mut found = Found {
        nameservers: servers(),
        ..Found::default()
    };
    let mut links = Vec::new();
    for message in list(RTM_GETLINK)? {
        if let Message::Link(link) = message
            && !link.loopback
        {
            links.push((
                link.index,
                Interface {
                    name: link.name,
                    ready: link.ready,
                    ..Interface::default()
                },
            ));
        }
    }
    for message in list(RTM_GETADDR)? {
        if let Message::Address(address) = message
            && let Some((_, link)) = links.iter_mut().find(|(index, _)| *index == address.index)
        {
            link.link_local |= address.link_local;
            link.global |= !address.link_local && !address.host_local;
        }
    }
    found.default_route = list(RTM_GETROUTE)?.contains(&Message::Route { default: true });
    found.links = links.into_iter().map(|(_, link)| link).collect();
    Ok(found)
}

/// All things of one kind.
fn list(kind: u16) -> io::Result<Vec<Message>> {
    let socket = Netlink::open(libc::NETLINK_ROUTE, 0)?;
    socket.send(&rtnetlink::request(kind))?;
    let mut all = Vec::new();
    for _ in 0..MOST_DATAGRAMS {
        let Some(bytes) = socket.receive(ANSWER_WAIT)? else {
            return Err(io::ErrorKind::TimedOut.into());
        };
        for message in rtnetlink::messages(&bytes) {
            if message == Message::End {
                return Ok(all);
            }
            all.push(message);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_answers() {
        // Whatever network there is, the lists must come to an end.
        let found = look().unwrap();
        assert!(
            found
                .links
                .iter()
                .all(|link| !link.name.is_empty() && link.name != "lo")
        );
        assert!(
            list(RTM_GETLINK)
                .unwrap()
                .iter()
                .any(|message| matches!(message, Message::Link(link) if link.loopback && link.name == "lo"))
        );
    }

    #[test]
    fn a_wait_in_which_nothing_appears_takes_its_time() {
        let mut watch = Kernel.watch().unwrap();
        let started = Instant::now();
        assert_eq!(watch.wait(Duration::from_millis(30)), Woken::Time);
        assert!(started.elapsed() >= Duration::from_millis(30));
    }
}
