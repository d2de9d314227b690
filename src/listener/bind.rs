//! Binding: one TCP listener and one UDP socket per thread for every address of `dns.listen`.

use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use super::Error;
use crate::config;

/// Connections the kernel completes before they are accepted; it lowers this to its own limit.
const BACKLOG: i32 = 1_024;
/// How often another port is tried where port 0 was asked and UDP did not get TCP's.
const PORT_TRIES: usize = 32;

/// The sockets of the DNS side, bound and not served yet.
///
/// They are bound before the resolver is built, which must know our own addresses, and before the
/// spool is recovered: nothing is read from them until [`Dns::start`](super::Dns::start).
pub struct Bound {
    pub(super) places: Vec<Place>,
    pub(super) threads: usize,
}

/// One address.
pub(super) struct Place {
    pub(super) address: SocketAddr,
    pub(super) tcp: TcpListener,
    /// One per UDP thread.
    pub(super) udp: Vec<UdpSocket>,
}

impl Bound {
    /// Binds every address of `config.listen`. Port 0 asks for any port; UDP and TCP get the same.
    ///
    /// # Errors
    /// [`Error::Bind`] for an address in use, not ours, or not permitted; [`Error::Wildcard`] for
    /// one that would let the kernel choose whom a reply comes from.
    pub fn new(config: &config::Dns) -> Result<Self, Error> {
        let threads = match config.udp_threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        let receive_bytes = config.udp_receive_buffer_bytes;
        let places = config.listen.iter().map(|a| place(*a, threads, receive_bytes));
        Ok(Self { places: places.collect::<Result<_, _>>()?, threads })
    }

    /// The addresses bound, in the order of `dns.listen`, each with its real port.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.places.iter().map(|p| p.address).collect()
    }
}

fn place(asked: SocketAddr, threads: usize, receive_bytes: usize) -> Result<Place, Error> {
    if asked.ip().is_unspecified() {
        return Err(Error::Wildcard(asked));
    }
    let mut tries = if asked.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        let tcp = tcp(asked).map_err(|e| Error::bind(asked, "TCP", e))?;
        let address = tcp.local_addr().map_err(|e| Error::bind(asked, "TCP", e))?;
        match udp(address, threads, receive_bytes) {
            Ok(udp) => return Ok(Place { address, tcp, udp }),
            Err(e) if e.kind() == io::ErrorKind::AddrInUse && tries > 0 => (),
            Err(e) => return Err(Error::bind(address, "UDP", e)),
        }
    }
}

fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address, Type::STREAM, Protocol::TCP)?;
    // Connections of an earlier process that are still closing do not hold the port.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn udp(address: SocketAddr, threads: usize, receive_bytes: usize) -> io::Result<Vec<UdpSocket>> {
    // Sockets that share a port let in any other of the same user that shares; one that does not
    // share tells whether the port is free.
    socket(address, Type::DGRAM, Protocol::UDP)?.bind(&address.into())?;
    let one = || {
        let socket = socket(address, Type::DGRAM, Protocol::UDP)?;
        socket.set_reuse_port(true)?;
        // The kernel lowers this to its own limit without an error.
        socket.set_recv_buffer_size(receive_bytes)?;
        setsockopt(&socket, sockopt::RxqOvfl, &1)?;
        socket.bind(&address.into())?;
        Ok(socket.into())
    };
    (0..threads).map(|_| one()).collect()
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(listen: &[&str], udp_threads: usize) -> config::Dns {
        let listen = listen.iter().map(|a| a.parse().unwrap()).collect();
        config::Dns { listen, udp_threads, ..config::Dns::default() }
    }

    #[test]
    fn port_0_gives_udp_and_tcp_the_same_port() {
        let bound = Bound::new(&config(&["127.0.0.1:0", "[::1]:0"], 3)).unwrap();
        for place in &bound.places {
            assert_ne!(place.address.port(), 0);
            assert_eq!(place.tcp.local_addr().unwrap(), place.address);
            assert_eq!(place.udp.len(), 3);
            for udp in &place.udp {
                assert_eq!(udp.local_addr().unwrap(), place.address);
            }
        }
    }

    #[test]
    fn a_port_in_use_is_refused() {
        let first = Bound::new(&config(&["127.0.0.1:0"], 2)).unwrap();
        let taken = first.addresses()[0].to_string();
        let again = Bound::new(&config(&[&taken], 2));
        assert!(matches!(again, Err(Error::Bind { protocol: "TCP", .. })));

        // Another server that has the UDP port alone, even one that would share it.
        let Place { address, tcp, udp } = { first }.places.remove(0);
        drop(tcp);
        let again = Bound::new(&config(&[&address.to_string()], 2));
        assert!(matches!(again, Err(Error::Bind { protocol: "UDP", .. })));
        drop(udp);
    }

    #[test]
    fn wildcards_are_refused() {
        for all in ["0.0.0.0:0", "[::]:0"] {
            assert!(matches!(Bound::new(&config(&[all], 1)), Err(Error::Wildcard(_))));
        }
    }
}
