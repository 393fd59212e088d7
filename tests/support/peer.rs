//! A peer that misbehaves on request. What a client's first line says is what happens to it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

/// Listens until the test program ends.
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
}

impl Peer {
    pub fn start() -> Peer {
        let open = Arc::new(AtomicBool::new(false));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = listener.local_addr().unwrap().port();
        let gate = open.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, gate) = (stream.unwrap(), gate.clone());
                std::thread::spawn(move || serve(stream, &gate));
            }
        });
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let udp = socket.local_addr().unwrap().port();
        let gate = open.clone();
        std::thread::spawn(move || datagrams(&socket, &gate));
        let full = full(&open);
        let taken = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        taken.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
        let closed = taken.local_addr().unwrap().as_socket().unwrap().port();
        Peer { tcp, udp, closed, _taken: taken, shut: super::free_port(), full, open }
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

fn datagrams(socket: &UdpSocket, gate: &AtomicBool) {
    let mut buffer = [0; 100];
    while let Ok((n, from)) = socket.recv_from(&mut buffer) {
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
fn full(open: &Arc<AtomicBool>) -> u16 {
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
    let gate = open.clone();
    std::thread::spawn(move || {
        wait_for(&gate);
        drop(filler);
        while let Ok((stream, _)) = listener.accept() {
            std::thread::spawn(move || std::io::copy(&mut TcpStream::from(stream), &mut std::io::sink()));
        }
    });
    port
}
