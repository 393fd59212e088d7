//! What runs when there is nothing to run: a welcome page on 127.0.0.1:8080.

pub const GREETING: &str =
    "No conf/nginx.conf here: serving the built-in demo on http://127.0.0.1:8080/ (Ctrl-C ends it)";

pub const CONF: &str = include_str!("demo.conf");
