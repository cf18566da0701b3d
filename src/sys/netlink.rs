//! Sockets to the kernel (netlink(7)).

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// A socket to a part of the kernel. What std knows as a datagram socket only sends and receives.
#[derive(Debug)]
pub struct Netlink(UnixDatagram);

impl Netlink {
    /// `protocol`: which part (`NETLINK_ROUTE`); `groups`: what it is told of without asking.
    pub fn open(protocol: libc::c_int, groups: u32) -> io::Result<Self> {
        #[expect(
            unsafe_code,
            reason = "nix has no netlink sockets in the features that are used"
        )]
        // SAFETY: takes numbers only.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        #[expect(unsafe_code, reason = "a number becomes a file descriptor")]
        // SAFETY: it was just opened, and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        #[expect(unsafe_code, reason = "the structure has private padding")]
        // SAFETY: all-zero is a valid sockaddr_nl.
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        address.nl_family = libc::sa_family_t::try_from(libc::AF_NETLINK).unwrap_or_default();
        address.nl_groups = groups;
        let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_nl>()).unwrap_or_default();
        #[expect(unsafe_code, reason = "see above")]
        // SAFETY: the pointer is to a live sockaddr_nl of that length.
        let bound = unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length) };
        if bound != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self(UnixDatagram::from(fd)))
    }

    /// Sends a request to the kernel.
    pub fn send(&self, request: &[u8]) -> io::Result<()> {
        self.0.send(request).map(drop)
    }

    /// The next datagram; `None` if there is none in time.
    pub fn receive(&self, time: Duration) -> io::Result<Option<Vec<u8>>> {
        // A timeout of zero would mean none.
        self.0
            .set_read_timeout(Some(time.max(Duration::from_millis(1))))?;
        // The kernel makes none that is longer.
        let mut bytes = vec![0; 64 << 10];
        match self.0.recv(&mut bytes) {
            Ok(length) => {
                bytes.truncate(length);
                Ok(Some(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}
