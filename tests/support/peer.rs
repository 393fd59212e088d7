//! A peer that misbehaves on request. What a client's first line says is what happens to it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

/// Listens until it is dropped.
pub struct Peer {
    pub tcp: u16,
    pub udp: u16,
    /// A port where nobody listens, which is nobody else's either.
    pub closed: u16,
    _taken: Socket,
    /// The same for datagrams.
    pub shut: u16,
    /// A port where connections are not taken until `open`.
    pub full: u16,
    open: Arc<AtomicBool>,
    _over: Over,
}

/// Dropped, it ends the threads that look at it, and with them what they listen at.
pub struct Over(Arc<AtomicBool>);

impl Over {
    pub fn not_yet() -> Over {
        Over(Arc::new(AtomicBool::new(false)))
    }
    /// Gives each client to a thread of its own.
    pub fn serve(&self, listener: TcpListener, each: impl Fn(TcpStream) + Clone + Send + 'static) {
        let over = self.0.clone();
        std::thread::spawn(move || accept(&listener, &over, each));
    }
}

impl Drop for Over {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// How often a thread that waits for clients looks whether it is to end.
const LOOK: Option<Duration> = Some(Duration::from_millis(100));

fn accept(listener: &TcpListener, over: &AtomicBool, each: impl Fn(TcpStream) + Clone + Send + 'static) {
    SockRef::from(listener).set_read_timeout(LOOK).unwrap();
    while !over.load(Ordering::SeqCst) {
        if let Ok((stream, _)) = listener.accept() {
            // (it has inherited the listener's)
            stream.set_read_timeout(None).unwrap();
            let each = each.clone();
            std::thread::spawn(move || each(stream));
        }
    }
}

impl Peer {
    pub fn start() -> Peer {
        let open = Arc::new(AtomicBool::new(false));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = listener.local_addr().unwrap().port();
        let (gate, over) = (open.clone(), Over::not_yet());
        over.serve(listener, move |stream| serve(stream, &gate));
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let udp = socket.local_addr().unwrap().port();
        let (gate, ends) = (open.clone(), over.0.clone());
        std::thread::spawn(move || datagrams(&socket, &gate, &ends));
        let full = full(&open, &over);
        let taken = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        taken.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
        let closed = taken.local_addr().unwrap().as_socket().unwrap().port();
        Peer { tcp, udp, closed, _taken: taken, shut: super::free_port(), full, open, _over: over }
    }
    /// What waits for the gate goes on; or the gate is shut again.
    pub fn open(&self, open: bool) {
        self.open.store(open, Ordering::SeqCst);
    }
}

pub fn wait_for(gate: &AtomicBool) {
    for _ in 0..60_000 {
        if gate.load(Ordering::SeqCst) {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn line(stream: &mut TcpStream) -> String {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while stream.read(&mut byte).is_ok_and(|n| n == 1) && byte != *b"\n" {
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

fn serve(mut stream: TcpStream, gate: &AtomicBool) {
    stream.set_nodelay(true).unwrap();
    let mode = line(&mut stream);
    let rest = |stream: &mut TcpStream| {
        let _ = std::io::copy(stream, &mut std::io::sink());
    };
    match mode.as_str() {
        "timeout" => {
            let _ = stream.write_all(b"par");
            rest(&mut stream);
        }
        // (what lies unread makes it a reset; so does the option)
        "reset" => {
            line(&mut stream);
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
        "half" => {
            let _ = stream.write_all(b"par");
            let _ = stream.shutdown(Shutdown::Write);
            rest(&mut stream);
        }
        "bytes" => {
            for byte in b"hello\n" {
                let _ = stream.write_all(&[*byte]);
                std::thread::sleep(Duration::from_millis(1));
            }
            rest(&mut stream);
        }
        // A handshake follows, or what comes in its place.
        "tls timeout" => rest(&mut stream),
        "tls reset" => {
            let _ = stream.read_exact(&mut [0; 5]);
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
        "tls half" => {
            let _ = stream.shutdown(Shutdown::Write);
            rest(&mut stream);
        }
        "tls bytes" => super::tls::serve_one(stream, true),
        "tls" => {
            wait_for(gate);
            super::tls::serve_one(stream, false);
        }
        // The rest are for those who write more than the kernel holds.
        "unread" => wait_for(gate),
        "unread reset" => SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
        "slowly" => {
            let mut buffer = [0; 4096];
            while stream.read(&mut buffer).is_ok_and(|n| n > 0) {}
        }
        _ => {
            wait_for(gate);
            let _ = stream.write_all(b"hello\n");
            rest(&mut stream);
        }
    }
}

fn datagrams(socket: &UdpSocket, gate: &AtomicBool, over: &AtomicBool) {
    let mut buffer = [0; 100];
    socket.set_read_timeout(LOOK).unwrap();
    while !over.load(Ordering::SeqCst) {
        let Ok((n, from)) = socket.recv_from(&mut buffer) else { continue };
        match &buffer[..n] {
            b"timeout" => {}
            b"half" => drop(socket.send_to(b"", from)),
            b"bytes" => b"he".iter().for_each(|byte| drop(socket.send_to(&[*byte], from))),
            _ => {
                wait_for(gate);
                let _ = socket.send_to(b"hello", from);
            }
        }
    }
}

/// A listener whose queue is full: the kernel answers nobody.
fn full(open: &Arc<AtomicBool>, over: &Over) -> u16 {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let addr = listener.local_addr().unwrap();
    let port = addr.as_socket().unwrap().port();
    let filler: Vec<Socket> = (0..4)
        .map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&addr);
            socket
        })
        .collect();
    let (gate, over) = (open.clone(), over.0.clone());
    std::thread::spawn(move || {
        while !gate.load(Ordering::SeqCst) && !over.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(filler);
        let swallow = |mut stream: TcpStream| drop(std::io::copy(&mut stream, &mut std::io::sink()));
        accept(&listener.into(), &over, swallow);
    });
    port
}
