//! Ports of 127.0.0.1 to listen at: given to one test only, here and in the other test programs of this machine.

use std::net::{TcpListener, UdpSocket};
use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Mutex;

/// The ports that are left of this program's block; the socket says that the block is taken, until the program ends.
struct Block {
    left: Range<u16>,
    _taken: UnixDatagram,
}

const SIZE: u16 = 250;

/// A port that nobody has, for TCP or UDP, and that nobody else is given.
pub fn free_port() -> u16 {
    static BLOCK: Mutex<Option<Block>> = Mutex::new(None);
    let mut block = BLOCK.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    loop {
        let Some(port) = block.as_mut().and_then(|block| block.left.next()) else {
            *block = Some(take());
            continue;
        };
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A block that no other program has taken.
fn take() -> Block {
    let ports = ours();
    let count = u32::from((ports.end - ports.start) / SIZE);
    // (programs that start at the same time begin at different places)
    for number in (0..count).map(|number| (std::process::id().wrapping_mul(7) + number) % count) {
        let first = ports.start + u16::try_from(number).expect("fewer than there are ports") * SIZE;
        let name = SocketAddr::from_abstract_name(format!("perilune-test-ports-{first}")).unwrap();
        if let Ok(taken) = UnixDatagram::bind_addr(&name) {
            return Block { left: first..first + SIZE, _taken: taken };
        }
    }
    panic!("all of the {count} blocks of ports are taken");
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
