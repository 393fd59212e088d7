//! Ports of 127.0.0.1 to listen at: given to one test only, here and in the other test programs of this machine.

use std::net::{TcpListener, UdpSocket};
use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Mutex;

/// The ports that are left of this program's last block. The sockets say which blocks are taken: all of them until the program ends,
/// for a test may be about to listen at any port it was given.
struct Blocks {
    left: Range<u16>,
    taken: Vec<UnixDatagram>,
}

const SIZE: u16 = 250;

/// A port that nobody has, for TCP or UDP, and that nobody else is given.
pub fn free_port() -> u16 {
    static BLOCKS: Mutex<Blocks> = Mutex::new(Blocks { left: 0..0, taken: Vec::new() });
    let mut blocks = BLOCKS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    loop {
        let Some(port) = blocks.left.next() else {
            let (left, taken) = take();
            blocks.left = left;
            blocks.taken.push(taken);
            continue;
        };
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A block that no other program has taken.
fn take() -> (Range<u16>, UnixDatagram) {
    let ports = ours();
    let count = u32::from((ports.end - ports.start) / SIZE);
    // (programs that start at the same time begin at different places)
    for number in (0..count).map(|number| (std::process::id().wrapping_mul(7) + number) % count) {
        let first = ports.start + u16::try_from(number).expect("fewer than there are ports") * SIZE;
        if let Ok(taken) = UnixDatagram::bind_addr(&name_of(first)) {
            return (first..first + SIZE, taken);
        }
    }
    panic!("all of the {count} blocks of ports are taken");
}

/// The socket of the block that begins with that port.
fn name_of(first: u16) -> SocketAddr {
    SocketAddr::from_abstract_name(format!("perilune-test-ports-{first}")).unwrap()
}

/// Not those that the kernel gives to clients: one of these could be taken before a server listens at it. Where it gives away
/// nearly all there are, that is a risk to run.
fn ours() -> Range<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut numbers = text.split_whitespace().filter_map(|word| word.parse::<u16>().ok());
    let (first, last) = (numbers.next().unwrap_or(32_768), numbers.next().unwrap_or(60_999));
    let (below, above) = (10_000..first.clamp(10_000, 32_000), last.saturating_add(1)..65_000);
    match (below.len(), above.len()) {
        (below_count, above_count) if below_count.max(above_count) < 2_000 => 10_000..32_000,
        (below_count, above_count) if below_count >= above_count => below,
        _ => above,
    }
}

/// Once another program had a block that was used up, and its servers answered tests of this one.
#[test]
fn a_block_that_is_used_up_stays_taken() {
    let given: Vec<u16> = (0..=SIZE).map(|_| free_port()).collect();
    let first = |port: &u16| port - (port - ours().start) % SIZE;
    let blocks: std::collections::BTreeSet<u16> = given.iter().map(first).collect();
    assert!(blocks.len() > 1);
    for first in blocks {
        assert!(UnixDatagram::bind_addr(&name_of(first)).is_err(), "{first}");
    }
}
