//! Connecting to a name that has several addresses (RFC 8305): the families take turns, IPv6 first, and who does not answer soon
//! gets company from the next one. The first that connects wins; the others are let go.
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpStream;

use super::{Failure, connect_to};
use crate::alarm::{Alarm, sleep};

/// How long an address has for itself.
const AHEAD: Duration = Duration::from_millis(250);

type Attempt = Pin<Box<dyn Future<Output = Result<TcpStream, Failure>>>>;

/// Who is being tried, and who is still to be.
struct Race {
    waiting: VecDeque<SocketAddr>,
    running: Vec<Attempt>,
    ahead: Duration,
    next: Alarm,
    local: Option<std::net::IpAddr>,
    last: Option<Failure>,
}

/// The first connection there is, or the last failure; None: there was no address. `ms`: what the caller allows for all of it.
pub(super) async fn race(
    addresses: Vec<SocketAddr>,
    local: Option<std::net::IpAddr>,
    ms: u64,
) -> Option<Result<TcpStream, Failure>> {
    let count = addresses.len() as u64;
    // (where there is little time, everybody still gets a share of it)
    let ahead = if ms == 0 { AHEAD } else { AHEAD.min(Duration::from_millis(ms / count.max(1))) };
    let mut race =
        Race { waiting: take_turns(addresses), running: Vec::new(), ahead, next: sleep(ahead), local, last: None };
    std::future::poll_fn(|cx| race.poll(cx)).await
}

impl Race {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<TcpStream, Failure>>> {
        loop {
            let mut at = 0;
            let mut failed = false;
            while at < self.running.len() {
                match self.running[at].as_mut().poll(cx) {
                    Poll::Ready(Ok(stream)) => return Poll::Ready(Some(Ok(stream))),
                    Poll::Ready(Err(failure)) => {
                        failed = true;
                        self.last = Some(failure);
                        drop(self.running.swap_remove(at));
                    }
                    Poll::Pending => at += 1,
                }
            }
            let due = failed || self.running.is_empty() || Pin::new(&mut self.next).poll(cx).is_ready();
            match self.waiting.pop_front() {
                Some(address) if due => {
                    self.running.push(Box::pin(connect_to(address, self.local)));
                    self.next = sleep(self.ahead);
                }
                Some(address) => {
                    self.waiting.push_front(address);
                    return Poll::Pending;
                }
                None if self.running.is_empty() => return Poll::Ready(self.last.take().map(Err)),
                None => return Poll::Pending,
            }
        }
    }
}

/// One of each family in turn, in their own order.
fn take_turns(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let (mut six, mut four): (VecDeque<_>, VecDeque<_>) = addresses.into_iter().partition(SocketAddr::is_ipv6);
    let mut order = VecDeque::with_capacity(six.len() + four.len());
    while !six.is_empty() || !four.is_empty() {
        order.extend(six.pop_front());
        order.extend(four.pop_front());
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let all = |text: &str| -> Vec<SocketAddr> { text.split(' ').filter_map(|one| one.parse().ok()).collect() };
        let rows = [
            ("1.1.1.1:1 1.1.1.2:1 [::1]:1", "[::1]:1 1.1.1.1:1 1.1.1.2:1"),
            ("1.1.1.1:1", "1.1.1.1:1"),
            ("[::1]:1 [::2]:1 1.1.1.1:1 [::3]:1", "[::1]:1 1.1.1.1:1 [::2]:1 [::3]:1"),
        ];
        for (found, order) in rows {
            assert_eq!(Vec::from(take_turns(all(found))), all(order));
        }
    }
}
