//! Starts the server on a free loopback port under a temporary prefix. The prefix and the process go away with the value.

pub mod answers;
pub mod load;
pub mod peer;
pub mod ports;
pub mod redis;
pub mod status;
pub mod tls;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use answers::{Seen, seen};
pub use ports::free_port;

/// A prefix directory with conf/, logs/ and html/.
pub struct Prefix(pub PathBuf);

impl Prefix {
    pub fn new() -> Prefix {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // (a server that gives its rights up reads what is in it all the same)
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        let path = loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("perilune-test-{}-{number}", std::process::id()));
            // (of an earlier run with this number; what somebody else has left there stays)
            let _ = std::fs::remove_dir_all(&path);
            match std::fs::create_dir(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => break made.map(|()| path).unwrap(),
            }
        };
        for directory in ["conf", "logs", "html"] {
            std::fs::create_dir_all(path.join(directory)).unwrap();
        }
        Prefix(path)
    }
    pub fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.0.join(name)).unwrap_or_default()).into_owned()
    }
    /// The binary with this prefix and these flags.
    pub fn command(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_perilune"));
        command.arg("-p").arg(format!("{}/", self.0.display())).args(flags).stdin(Stdio::null());
        command
    }
    pub fn run(&self, flags: &[&str]) -> Output {
        self.command(flags).output().unwrap()
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether a test can do without: says that it is skipped, or fails where PERILUNE_CI is set.
pub fn missing(what: &str, path: &str) -> bool {
    if std::path::Path::new(path).exists() {
        return false;
    }
    assert!(std::env::var_os("PERILUNE_CI").is_none(), "{what} is missing: {path}");
    eprintln!("SKIPPED: {what} is missing: {path}");
    true
}

/// What has not come about by then never will: long enough for a machine that has much else to do.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until it is so.
#[track_caller]
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A server in the foreground.
pub struct Server {
    pub prefix: Prefix,
    pub port: u16,
    child: Child,
}

impl Server {
    /// `http` is the inside of the http block, with PORT where the port belongs; `files` go under the prefix.
    pub fn start(http: &str, files: &[(&str, &str)]) -> Server {
        Server::with_main("", http, files)
    }

    pub fn with_main(main: &str, http: &str, files: &[(&str, &str)]) -> Server {
        let log = if main.contains("error_log") { "" } else { "error_log logs/error.log info;" };
        // (what tests write belongs to whoever runs them)
        let user = if rustix::process::geteuid().is_root() && !main.contains("user ") { "user root;" } else { "" };
        let conf = format!("daemon off; {user} pid logs/nginx.pid; {main} {log}\nevents {{}}\nhttp {{\n{http}\n}}\n");
        Server::with_conf(&conf, files, &[])
    }

    /// `conf` is a whole nginx.conf, with PORT where the port belongs.
    pub fn with_conf(conf: &str, files: &[(&str, &str)], flags: &[&str]) -> Server {
        let (prefix, port) = (Prefix::new(), free_port());
        for (name, text) in files {
            prefix.write(name, text);
        }
        prefix.write("conf/nginx.conf", &conf.replace("PORT", &port.to_string()));
        let command = prefix.command(flags);
        Server::with_command(command, prefix, port)
    }

    pub fn with_command(mut command: Command, prefix: Prefix, port: u16) -> Server {
        let child = command.stderr(Stdio::null()).spawn().unwrap();
        let mut server = Server { prefix, port, child };
        until("the server listens", || {
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("the server ended with {status}: {}", server.prefix.read("logs/error.log"));
            }
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        server
    }

    /// Sends bytes, and returns all that comes back: until the server closes, or, where the connection stays open, until there are
    /// as many whole answers as requests, and a moment's silence.
    pub fn raw(&self, bytes: &[u8]) -> String {
        self.exchange(bytes, |answers| seen(bytes, answers) == Seen::All)
    }
    /// The same until the server closes, whatever it has answered.
    pub fn raw_to_end(&self, bytes: &[u8]) -> String {
        self.exchange(bytes, |_| false)
    }
    fn exchange(&self, bytes: &[u8], enough: impl Fn(&[u8]) -> bool) -> String {
        const MOMENT: Duration = Duration::from_millis(100);
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let _ = stream.write_all(bytes);
        let (mut out, mut buffer) = (Vec::new(), [0; 16384]);
        loop {
            let enough = enough(&out);
            stream.set_read_timeout(Some(if enough { MOMENT } else { PATIENCE })).unwrap();
            match stream.read(&mut buffer) {
                Ok(0) => {
                    out.extend_from_slice(b"<closed>");
                    break;
                }
                Ok(count) => out.extend_from_slice(&buffer[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    assert!(enough, "no end of the answer to {:?}: {:?}", bytes.escape_ascii(), out.escape_ascii());
                    break;
                }
                Err(_) => break,
            }
        }
        tidy(&String::from_utf8_lossy(&out), self.port)
    }

    /// GET over a connection of its own.
    pub fn get(&self, path: &str) -> String {
        self.raw(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())
    }
    /// The body of a GET.
    pub fn body(&self, path: &str) -> String {
        let answer = self.raw(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes());
        let body = answer.split_once("\n\n").map_or("", |(_, body)| body);
        body.trim_end_matches("<closed>").to_string()
    }
    pub fn log(&self) -> String {
        self.prefix.read("logs/error.log")
    }
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }
    /// Waits for the process to end by itself.
    pub fn ended(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.child.try_wait().unwrap().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }
}

/// What `kill -NAME PID` does, which is not everywhere.
pub fn signal(pid: u32, name: &str) {
    let signal = match name {
        "HUP" => Signal::HUP,
        "INT" => Signal::INT,
        "QUIT" => Signal::QUIT,
        "ABRT" => Signal::ABORT,
        "KILL" => Signal::KILL,
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        "ALRM" => Signal::ALARM,
        "TERM" => Signal::TERM,
        "WINCH" => Signal::WINCH,
        "IO" => Signal::IO,
        _ => panic!("no signal {name} here"),
    };
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, signal).unwrap();
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers without what changes from run to run: CR, dates, the port, entity tags.
fn tidy(text: &str, port: u16) -> String {
    let text = text.replace('\r', "").replace(&format!(":{port}"), ":PORT");
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let name = line.split(": ").next().unwrap_or_default();
        match name {
            "Date" | "Last-Modified" => out.push_str(&format!("{name}: DATE\n")),
            "ETag" => out.push_str("ETag: TAG\n"),
            _ => out.push_str(line),
        }
    }
    out
}
