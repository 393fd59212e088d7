//! `worker_rlimit_nofile` and `worker_rlimit_core`: what the kernel lets the serving process have.

use ngx::log::Level;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::conf::tree::Main;
use crate::log::Plain;

/// A limit that cannot be set is said and no more: the server runs with what it has.
pub fn set(main: &Main, plain: &Plain) {
    let wanted = [
        (Resource::Nofile, "RLIMIT_NOFILE", main.worker_rlimit_nofile),
        (Resource::Core, "RLIMIT_CORE", main.worker_rlimit_core),
    ];
    for (resource, name, limit) in wanted {
        let Some(limit) = limit else { continue };
        let maximum = getrlimit(resource).maximum;
        let higher = Rlimit { current: Some(limit), maximum: maximum.map(|maximum| maximum.max(limit)) };
        let within = Rlimit { current: Some(limit), maximum };
        if setrlimit(resource, higher).is_err()
            && let Err(error) = setrlimit(resource, within)
        {
            let error = crate::conf::os_error(&std::io::Error::from(error));
            plain.say(Level::Alert, &format!("setrlimit({name}, {limit}) failed {error}"));
        }
    }
}
