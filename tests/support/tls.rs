//! A TLS server inside of the test program, with the certificates of tests/tls. What a client's first line says is what it gets.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};

use super::peer::{Over, wait_for};

/// Where the certificates are.
pub const CERTIFICATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls");

/// Whether this processor can do it; says so where it cannot.
pub fn supported() -> bool {
    let supported = ngx::tls::is_supported();
    if !supported {
        eprintln!("SKIPPED: this processor is none that TLS can be had with");
    }
    supported
}

pub fn pem(name: &str) -> String {
    std::fs::read_to_string(format!("{CERTIFICATES}/{name}")).unwrap()
}

/// What kind of server it is.
#[derive(Clone)]
pub struct Kind {
    /// The certificate it shows.
    pub name: &'static str,
    /// The key it has, if not the one that belongs to it.
    pub key: Option<&'static str>,
    pub versions: &'static [&'static SupportedProtocolVersion],
    /// It wants to see a certificate.
    pub asks: bool,
    /// Each byte travels alone.
    pub slowly: bool,
    /// What is sent in place of a handshake, once the client has said hello; None: it hangs up without a word.
    pub instead: Option<Option<&'static [u8]>>,
}

impl Default for Kind {
    fn default() -> Kind {
        Kind { name: "good", key: None, versions: rustls::ALL_VERSIONS, asks: false, slowly: false, instead: None }
    }
}

/// Listens until it is dropped.
pub struct TlsPeer {
    pub port: u16,
    /// Connections that there have been.
    pub connections: Arc<AtomicUsize>,
    /// Handshakes that came to their end.
    pub handshakes: Arc<AtomicUsize>,
    open: Arc<AtomicBool>,
    over: Over,
}

impl TlsPeer {
    pub fn start(kind: Kind) -> TlsPeer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TlsPeer {
            port: listener.local_addr().unwrap().port(),
            connections: Arc::default(),
            handshakes: Arc::default(),
            open: Arc::default(),
            over: Over::not_yet(),
        };
        if !supported() {
            return peer;
        }
        let config = Arc::new(config(&kind));
        let (connections, handshakes, gate) = (peer.connections.clone(), peer.handshakes.clone(), peer.open.clone());
        peer.over.serve(listener, move |stream| {
            connections.fetch_add(1, Ordering::SeqCst);
            serve(stream, config.clone(), &kind, &handshakes, &gate);
        });
        peer
    }
    pub fn named(name: &'static str) -> TlsPeer {
        TlsPeer::start(Kind { name, ..Kind::default() })
    }
    /// What waits for the gate goes on.
    pub fn open(&self, open: bool) {
        self.open.store(open, Ordering::SeqCst);
    }
}

fn config(kind: &Kind) -> ServerConfig {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem(&format!("{}.crt", kind.name)).as_bytes())
        .map(|certificate| certificate.unwrap().into_owned())
        .collect();
    let key = PrivateKeyDer::from_pem_slice(pem(&format!("{}.key", kind.key.unwrap_or(kind.name))).as_bytes()).unwrap();
    let provider = Arc::new(rustls_graviola::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(kind.versions).unwrap();
    let builder = if kind.asks {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pem("ca.crt").as_bytes()).unwrap()).unwrap();
        builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap(),
        )
    } else {
        builder.with_no_client_auth()
    };
    // (a version 1 certificate is not what rustls itself would show)
    let signing = rustls_graviola::default_provider().key_provider.load_private_key(key).unwrap();
    let shown = rustls::sign::CertifiedKey::new(chain, signing);
    let mut config = builder.with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(shown)));
    config.ticketer = rustls_graviola::Ticketer::new().unwrap();
    config
}

/// A stream whose bytes travel alone, if they are to.
struct Paced {
    stream: TcpStream,
    slowly: bool,
}

impl Read for Paced {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.stream.read(out)
    }
}
impl Write for Paced {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if !self.slowly {
            return self.stream.write(bytes);
        }
        self.stream.write(&bytes[..1])
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.flush()
    }
}

/// Serves one client as a good server does, over a connection that there is.
pub fn serve_one(stream: TcpStream, slowly: bool) {
    let kind = Kind { slowly, ..Kind::default() };
    serve(stream, Arc::new(config(&kind)), &kind, &AtomicUsize::new(0), &AtomicBool::new(true));
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>, kind: &Kind, handshakes: &AtomicUsize, gate: &AtomicBool) {
    stream.set_nodelay(true).unwrap();
    let mut socket = Paced { stream, slowly: kind.slowly };
    if let Some(instead) = kind.instead {
        // (all of the hello: what lies unread would make a reset of the end)
        let mut hello = [0; 5];
        let _ = socket.read_exact(&mut hello);
        let mut rest = vec![0; usize::from(u16::from_be_bytes([hello[3], hello[4]]))];
        let _ = socket.read_exact(&mut rest);
        match instead {
            Some(b"gate") => {
                wait_for(gate);
                return;
            }
            Some(bytes) => {
                let _ = socket.write_all(bytes);
                let _ = std::io::copy(&mut socket, &mut std::io::sink());
            }
            None => {}
        }
        return;
    }
    let mut connection = ServerConnection::new(config).unwrap();
    while connection.is_handshaking() {
        if connection.complete_io(&mut socket).is_err() {
            let _ = std::io::copy(&mut socket, &mut std::io::sink());
            return;
        }
    }
    handshakes.fetch_add(1, Ordering::SeqCst);
    let name = connection.server_name().unwrap_or("(none)").to_string();
    let resumed = connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
    let shown = connection.peer_certificates().map_or(0, <[_]>::len);
    loop {
        let mut tls = rustls::Stream::new(&mut connection, &mut socket);
        let Some(line) = line(&mut tls) else { return };
        let done = match line.as_str() {
            "who" => tls.write_all(format!("{name} {} {shown}\n", if resumed { "resumed" } else { "new" }).as_bytes()),
            // A part, and the end of this direction.
            "half" => {
                let _ = tls.write_all(b"par");
                connection.send_close_notify();
                let _ = connection.complete_io(&mut socket);
                let mut tls = rustls::Stream::new(&mut connection, &mut socket);
                let _ = std::io::copy(&mut tls, &mut std::io::sink());
                return;
            }
            // The same without a goodbye.
            "cut" => {
                let _ = tls.write_all(b"par");
                let _ = socket.stream.shutdown(Shutdown::Write);
                let _ = std::io::copy(&mut socket, &mut std::io::sink());
                return;
            }
            "reset" => {
                socket2::SockRef::from(&socket.stream).set_linger(Some(Duration::ZERO)).unwrap();
                return;
            }
            // Nothing is read for a while, and then everything.
            "stop" => {
                wait_for(gate);
                let _ = std::io::copy(&mut tls, &mut std::io::sink());
                return;
            }
            // What is no TLS at all.
            "junk" => socket.stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            "wait" => {
                wait_for(gate);
                tls.write_all(b"hello\n")
            }
            // Everything comes back, both ways at once.
            _ => match line.strip_prefix("echo ").and_then(|n| n.parse().ok()) {
                Some(total) => echo(&mut tls, total),
                None => tls.write_all(format!("{line}\n").as_bytes()),
            },
        };
        if done.is_err() {
            return;
        }
    }
}

fn echo(tls: &mut impl ReadWrite, total: usize) -> std::io::Result<()> {
    let mut buffer = vec![0; 16384];
    let mut left = total;
    while left > 0 {
        let most = buffer.len().min(left);
        let count = tls.read(&mut buffer[..most])?;
        if count == 0 {
            return Ok(());
        }
        left -= count;
        tls.write_all(&buffer[..count])?;
    }
    Ok(())
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// None: the end.
fn line(stream: &mut impl Read) -> Option<String> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while stream.read(&mut byte).is_ok_and(|n| n == 1) {
        if byte == *b"\n" {
            return String::from_utf8(line).ok();
        }
        line.push(byte[0]);
    }
    None
}
