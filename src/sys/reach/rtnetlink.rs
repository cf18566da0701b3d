//! What the kernel says about links, addresses and routes (rtnetlink(7)): a reader of its messages. Pure, and made for any
//! bytes: what is too short or unknown is passed over.

/// Messages of the kernel that are read here, and the requests for them.
pub(super) const RTM_NEWLINK: u16 = 16;
/// Asks for all links.
pub(super) const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
/// Asks for all addresses.
pub(super) const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
/// Asks for all routes.
pub(super) const RTM_GETROUTE: u16 = 26;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;

/// Length of a message's header, in bytes.
const HEADER: usize = 16;

const IFF_UP: u32 = 1;
const IFF_LOOPBACK: u32 = 8;
const IFF_LOWER_UP: u32 = 0x1_0000;
const IFLA_IFNAME: u16 = 3;
const IFA_FLAGS: u16 = 8;
const IFA_F_DADFAILED: u32 = 0x08;
const IFA_F_TENTATIVE: u32 = 0x40;
const SCOPE_LINK: u8 = 253;
const SCOPE_HOST: u8 = 254;
const ROUTE_UNICAST: u8 = 1;

/// One thing that the kernel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// An interface
    Link(Link),
    /// An address that can be used
    Address(Address),
    /// A way to others
    Route {
        /// It leads everywhere
        default: bool,
    },
    /// The end of a list, or an error
    End,
    /// Anything else
    Other,
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) loopback: bool,
    /// It is up, and there is something at the other end
    pub(super) ready: bool,
}

/// An address that can be used: not one that is being checked for duplicates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// Of the interface
    pub(super) index: u32,
    /// Valid on the link only
    pub(super) link_local: bool,
    /// Valid on this machine only
    pub(super) host_local: bool,
}

/// A request for all things of one kind.
pub(super) fn request(kind: u16) -> Vec<u8> {
    // The header, and the longest of the structures that may follow it: a message of zeroes asks for all.
    let mut bytes = Vec::with_capacity(32);
    bytes.extend(32_u32.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    bytes.resize(32, 0);
    bytes
}

/// The messages in a datagram of the kernel.
pub(super) fn messages(bytes: &[u8]) -> impl Iterator<Item = Message> + '_ {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(rest, 0)?).ok()?;
        let message = rest.get(..length).filter(|message| message.len() >= HEADER)?;
        rest = rest.get(aligned(length)..).unwrap_or_default();
        Some(message_of(message))
    })
}

fn message_of(message: &[u8]) -> Message {
    let body = message.get(HEADER..).unwrap_or_default();
    let read = match u16_at(message, 4) {
        Some(RTM_NEWLINK) => link(body),
        Some(RTM_NEWADDR) => address(body),
        Some(RTM_NEWROUTE) => route(body),
        Some(NLMSG_DONE | NLMSG_ERROR) => Some(Message::End),
        _ => None,
    };
    read.unwrap_or(Message::Other)
}

fn link(body: &[u8]) -> Option<Message> {
    let index = u32_at(body, 4)?;
    let flags = u32_at(body, 8)?;
    let name = attributes(body.get(16..)?).find(|(kind, _)| *kind == IFLA_IFNAME)?;
    let name = name.1.split(|byte| *byte == 0).next().unwrap_or_default();
    Some(Message::Link(Link {
        index,
        name: String::from_utf8_lossy(name).into_owned(),
        loopback: flags & IFF_LOOPBACK != 0,
        ready: flags & IFF_UP != 0 && flags & IFF_LOWER_UP != 0,
    }))
}

fn address(body: &[u8]) -> Option<Message> {
    let short = u32::from(*body.get(2)?);
    let scope = *body.get(3)?;
    let index = u32_at(body, 4)?;
    let flags = attributes(body.get(8..)?)
        .find(|(kind, _)| *kind == IFA_FLAGS)
        .and_then(|(_, value)| u32_at(value, 0))
        .unwrap_or(short);
    if flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED) != 0 {
        return None;
    }
    Some(Message::Address(Address {
        index,
        link_local: scope == SCOPE_LINK,
        host_local: scope == SCOPE_HOST,
    }))
}

fn route(body: &[u8]) -> Option<Message> {
    // Routes of the table "local" are no ways to others, nor are those that only say no.
    let length = *body.get(1)?;
    (*body.get(7)? == ROUTE_UNICAST).then_some(Message::Route { default: length == 0 })
}

/// Kind and value of each attribute.
fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)?;
        let value = rest.get(4..length)?;
        rest = rest.get(aligned(length)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// Everything begins at a multiple of four bytes.
fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|bytes| u16::from_ne_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER + body.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes.resize(aligned(bytes.len()), 0);
        bytes
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(aligned(bytes.len()), 0);
        bytes
    }

    fn link_body(index: u32, flags: u32, name: &str) -> Vec<u8> {
        let mut body = vec![0; 4];
        body.extend(index.to_ne_bytes());
        body.extend(flags.to_ne_bytes());
        body.extend([0; 4]);
        body.extend(attribute(1, &[1, 2, 3, 4, 5, 6]));
        body.extend(attribute(IFLA_IFNAME, format!("{name}\0").as_bytes()));
        body
    }

    fn address_body(scope: u8, short: u8, flags: Option<u32>) -> Vec<u8> {
        let mut body = vec![10, 64, short, scope];
        body.extend(7_u32.to_ne_bytes());
        body.extend(attribute(1, &[0; 16]));
        body.extend(flags.map_or_else(Vec::new, |flags| attribute(IFA_FLAGS, &flags.to_ne_bytes())));
        body
    }

    fn read(bytes: &[u8]) -> Vec<Message> {
        messages(bytes).collect()
    }

    #[test]
    fn links() {
        for (flags, loopback, ready) in [
            (IFF_UP | IFF_LOOPBACK | IFF_LOWER_UP, true, true),
            (IFF_UP | IFF_LOWER_UP, false, true),
            (IFF_UP, false, false),
            (IFF_LOWER_UP, false, false),
        ] {
            let want = Message::Link(Link {
                index: 3,
                name: "enp1s0".to_owned(),
                loopback,
                ready,
            });
            assert_eq!(
                read(&message(RTM_NEWLINK, &link_body(3, flags, "enp1s0"))),
                [want]
            );
        }
    }

    #[test]
    fn addresses() {
        let usable = |link_local, host_local| {
            Message::Address(Address {
                index: 7,
                link_local,
                host_local,
            })
        };
        for (scope, short, flags, want) in [
            (0, 0, None, usable(false, false)),
            (SCOPE_LINK, 0, Some(0x80), usable(true, false)),
            (SCOPE_HOST, 0x80, None, usable(false, true)),
            (0, 0x40, None, Message::Other),
            (0, 0x40, Some(0x80), usable(false, false)),
            (0, 0, Some(IFA_F_TENTATIVE), Message::Other),
            (0, 0, Some(IFA_F_DADFAILED), Message::Other),
        ] {
            assert_eq!(
                read(&message(RTM_NEWADDR, &address_body(scope, short, flags))),
                [want]
            );
        }
    }

    #[test]
    fn routes_and_the_end() {
        let route = |length, kind| message(RTM_NEWROUTE, &[2, length, 0, 0, 254, 2, 0, kind, 0, 0, 0, 0]);
        let bytes = [
            route(0, 1),
            route(24, 1),
            route(0, 7),
            route(32, 2),
            message(NLMSG_DONE, &[0; 4]),
            message(99, b"odd"),
        ]
        .concat();
        assert_eq!(
            read(&bytes),
            [
                Message::Route { default: true },
                Message::Route { default: false },
                Message::Other,
                Message::Other,
                Message::End,
                Message::Other,
            ]
        );
    }

    #[test]
    fn what_is_cut_is_passed_over() {
        let whole = message(RTM_NEWLINK, &link_body(3, 1, "eth0"));
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), [], "{length}");
        }
        for body in [&[][..], &[0; 15], &[0; 16]] {
            assert_eq!(read(&message(RTM_NEWLINK, body)), [Message::Other]);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_come_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(messages(&bytes).count() <= bytes.len() / HEADER);
        }

        #[test]
        fn any_body_is_read(
            kind in prop_oneof![Just(RTM_NEWLINK), Just(RTM_NEWADDR), Just(RTM_NEWROUTE), any::<u16>()],
            body in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            prop_assert_eq!(messages(&message(kind, &body)).count(), 1);
        }
    }
}
