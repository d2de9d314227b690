//! Many datagrams per system call: `recvmmsg` and `sendmmsg` over buffers made once.
//!
//! What is allocated per call is one list of pointers for the whole batch (`nix` wants it built
//! anew); nothing is allocated per datagram.

use std::{
    io::{IoSlice, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd,
};

use nix::{
    cmsg_space,
    errno::Errno,
    sys::socket::{
        ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage, recvmmsg, sendmmsg,
    },
};

/// The largest query read; longer ones are cut and told apart by [`Datagram::cut`].
pub(super) const QUERY_BYTES_MAX: usize = 4_096;

/// One datagram received.
pub(super) struct Datagram<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) from: SocketAddr,
    /// Whether it was longer than [`QUERY_BYTES_MAX`].
    pub(super) cut: bool,
}

/// Room for one batch of one socket's datagrams. A socket has its own: the room for addresses
/// shrinks to that of the family first seen.
pub(super) struct Inbox {
    headers: MultiHeaders<SockaddrStorage>,
    room: Box<[u8]>,
    received: Vec<Received>,
    batch_max: usize,
    /// Datagrams the kernel dropped for want of room, since the socket was made (wrapping).
    overflow: u32,
    overflow_reported: u32,
}

#[derive(Clone, Copy)]
struct Received {
    len: usize,
    /// None for a family that the socket is not of, which the kernel does not do.
    from: Option<SocketAddr>,
    cut: bool,
}

impl Inbox {
    pub(super) fn new(batch_max: usize) -> Self {
        Self {
            headers: headers(batch_max),
            room: vec![0; batch_max * QUERY_BYTES_MAX].into_boxed_slice(),
            received: Vec::with_capacity(batch_max),
            batch_max,
            overflow: 0,
            overflow_reported: 0,
        }
    }

    /// Takes what waits in `socket`, at most one batch, instead of what was taken before; nothing
    /// where nothing waits. Returns whether the batch is full.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> Result<bool, Errno> {
        self.received.clear();
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            self.room.chunks_exact_mut(QUERY_BYTES_MAX).map(|c| [IoSliceMut::new(c)]).collect();
        let flags = MsgFlags::MSG_DONTWAIT;
        let got = match recvmmsg(socket.as_raw_fd(), &mut self.headers, &mut slices, flags, None) {
            Ok(got) => got,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(false),
            Err(e) => return Err(e),
        };
        for message in got {
            if let Some(dropped) = overflow(&message) {
                self.overflow = dropped;
            }
            let from = message.address.as_ref().and_then(address);
            let cut = message.flags.contains(MsgFlags::MSG_TRUNC);
            self.received.push(Received { len: message.bytes, from, cut });
        }
        Ok(self.received.len() == self.batch_max)
    }

    /// What the last [`Inbox::receive`] took.
    pub(super) fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        self.received.iter().zip(self.room.chunks_exact(QUERY_BYTES_MAX)).filter_map(
            |(r, chunk)| {
                let bytes = &chunk[..r.len.min(QUERY_BYTES_MAX)];
                Some(Datagram { bytes, from: r.from?, cut: r.cut })
            },
        )
    }

    /// Datagrams the kernel dropped at this socket (`SO_RXQ_OVFL`) since the last call.
    ///
    /// The first batch without a control message takes the headers' room for one away, so they are
    /// made anew here; the kernel's counter runs on, and what one batch could not say the next
    /// one does.
    pub(super) fn overflowed(&mut self) -> u32 {
        let new = self.overflow.wrapping_sub(self.overflow_reported);
        self.overflow_reported = self.overflow;
        self.headers = headers(self.batch_max);
        new
    }
}

fn headers(batch_max: usize) -> MultiHeaders<SockaddrStorage> {
    MultiHeaders::preallocate(batch_max, Some(cmsg_space!(u32)))
}

fn overflow(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<u32> {
    message.cmsgs().ok()?.find_map(|c| match c {
        ControlMessageOwned::RxqOvfl(dropped) => Some(dropped),
        _ => None,
    })
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddr::V4((*v4).into()));
    }
    storage.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into()))
}

/// Sends batches of responses.
pub(super) struct Outbox {
    headers: MultiHeaders<SockaddrStorage>,
    addresses: Vec<Option<SockaddrStorage>>,
    batch_max: usize,
}

impl Outbox {
    pub(super) fn new(batch_max: usize) -> Self {
        Self {
            headers: MultiHeaders::preallocate(batch_max, None),
            addresses: Vec::with_capacity(batch_max),
            batch_max,
        }
    }

    /// Sends `messages` in order, as many per call as fit; returns how many could not be sent.
    ///
    /// A message the kernel refuses (no route, a firewall's verdict) is skipped. Where the socket's
    /// buffer is full, `wait` says whether to try again; if not, the batch's rest is given up.
    pub(super) fn send<'a>(
        &mut self,
        socket: &UdpSocket,
        messages: impl Iterator<Item = (&'a [u8], SocketAddr)>,
        mut wait: impl FnMut(&UdpSocket) -> bool,
    ) -> usize {
        let mut messages = messages.peekable();
        let mut unsent = 0;
        while messages.peek().is_some() {
            let mut slices: Vec<[IoSlice<'_>; 1]> = Vec::with_capacity(self.batch_max);
            self.addresses.clear();
            for (bytes, to) in messages.by_ref().take(self.batch_max) {
                slices.push([IoSlice::new(bytes)]);
                self.addresses.push(Some(SockaddrStorage::from(to)));
            }
            let mut done = 0;
            while done < slices.len() {
                let given_up = match self.send_some(socket, &slices[done..], done) {
                    Ok(sent) => {
                        done += sent;
                        0
                    }
                    Err(Errno::EINTR) => 0,
                    Err(Errno::EAGAIN) if wait(socket) => 0,
                    Err(Errno::EAGAIN) => slices.len() - done,
                    Err(_) => 1,
                };
                done += given_up;
                unsent += given_up;
            }
        }
        unsent
    }

    fn send_some(
        &mut self,
        socket: &UdpSocket,
        slices: &[[IoSlice<'_>; 1]],
        skip: usize,
    ) -> Result<usize, Errno> {
        let fd = socket.as_raw_fd();
        let addresses = &self.addresses[skip..];
        let flags = MsgFlags::MSG_DONTWAIT;
        sendmmsg(fd, &mut self.headers, slices, addresses, [], flags).map(Iterator::count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(address: &str) -> (UdpSocket, UdpSocket) {
        (UdpSocket::bind(address).unwrap(), UdpSocket::bind(address).unwrap())
    }

    /// Loopback delivers within the sending call, so what was sent waits already.
    fn check(address: &str) {
        let (server, client) = pair(address);
        let mut inbox = Inbox::new(4);
        assert!(!inbox.receive(&server).unwrap());
        assert_eq!(inbox.datagrams().count(), 0);

        let long = vec![7; QUERY_BYTES_MAX + 1];
        let sent: [&[u8]; 6] = [b"a", b"", b"ccc", b"dd", &long, b"last"];
        for bytes in sent {
            client.send_to(bytes, server.local_addr().unwrap()).unwrap();
        }
        let mut seen = Vec::new();
        while {
            let full = inbox.receive(&server).unwrap();
            seen.extend(inbox.datagrams().map(|d| (d.bytes.to_vec(), d.from, d.cut)));
            full
        } {}
        let from = client.local_addr().unwrap();
        let expected: Vec<_> = sent
            .iter()
            .map(|b| (b[..b.len().min(QUERY_BYTES_MAX)].to_vec(), from, b.len() > QUERY_BYTES_MAX))
            .collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn batches_arrive_whole_and_in_order() {
        check("127.0.0.1:0");
    }

    #[test]
    fn ipv6_sources_keep_their_address() {
        check("[::1]:0");
    }

    #[test]
    fn what_is_sent_arrives_and_what_cannot_be_sent_is_counted() {
        let (server, client) = pair("127.0.0.1:0");
        let to = client.local_addr().unwrap();
        let too_long = vec![0; 70_000];
        let messages: [&[u8]; 5] = [b"1", b"22", &too_long, b"333", b"4444"];
        let mut outbox = Outbox::new(2);
        let unsent = outbox.send(&server, messages.iter().map(|m| (*m, to)), |_| false);
        assert_eq!(unsent, 1);
        let mut buf = [0; 16];
        for expected in [1, 2, 3, 4] {
            let (len, from) = client.recv_from(&mut buf).unwrap();
            assert_eq!((len, from), (expected, server.local_addr().unwrap()));
        }
    }

    #[test]
    fn drops_of_the_kernel_are_counted_once() {
        let (server, client) = pair("127.0.0.1:0");
        nix::sys::socket::setsockopt(&server, nix::sys::socket::sockopt::RxqOvfl, &1).unwrap();
        socket2::SockRef::from(&server).set_recv_buffer_size(4_096).unwrap();
        let to = server.local_addr().unwrap();
        let mut inbox = Inbox::new(8);
        let mut dropped = 0;
        let mut arrived = 0;
        // The counter travels with datagrams that come after the drops.
        for _ in 0..3 {
            for _ in 0..200 {
                client.send_to(&[0; 512], to).unwrap();
            }
            loop {
                inbox.receive(&server).unwrap();
                let n = inbox.datagrams().count();
                if n == 0 {
                    break;
                }
                arrived += n;
            }
            dropped += inbox.overflowed() as usize;
        }
        assert!(dropped > 0, "a buffer of 4 KiB holds no 200 datagrams");
        assert!(dropped + arrived <= 600, "{dropped} + {arrived}");
        assert_eq!(inbox.overflowed(), 0);
    }
}
