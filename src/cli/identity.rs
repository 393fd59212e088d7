//! Who we say we are: one table. Compatibility words for programs that ask nginx; our own name for people, unless the
//! environment variable PERILUNE_IDENTITY=nginx asks for nginx's there, too.

use std::sync::LazyLock;

/// How messages on standard error begin: tools match nginx's word.
pub const PROGRAM: &str = "nginx";
/// The nginx whose behaviour this is.
pub const NGINX_VERSION: &str = "1.22.1";
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `ngx.config.nginx_configure()`, and the last line of `-V`.
pub const CONFIGURE: &str = "--with-pcre --with-http_addition_module --with-http_auth_request_module \
    --with-http_gunzip_module --with-http_gzip_static_module --with-http_random_index_module --with-http_realip_module \
    --with-http_secure_link_module --with-http_stub_status_module --with-http_sub_module --without-http-cache \
    --without-http_browser_module --without-http_fastcgi_module --without-http_grpc_module \
    --without-http_memcached_module --without-http_proxy_module --without-http_scgi_module --without-http_ssi_module \
    --without-http_upstream_hash_module --without-http_upstream_ip_hash_module \
    --without-http_upstream_keepalive_module --without-http_upstream_least_conn_module \
    --without-http_upstream_random_module --without-http_upstream_zone_module --without-http_uwsgi_module";

struct Names {
    full: String,
    bare: &'static str,
}

static NAMES: LazyLock<Names> = LazyLock::new(|| match std::env::var("PERILUNE_IDENTITY").as_deref() {
    Ok("nginx") => Names { full: format!("nginx/{NGINX_VERSION}"), bare: "nginx" },
    _ => Names { full: format!("perilune/{VERSION}"), bare: "perilune" },
});

/// The Server header and the foot of built-in pages.
pub fn server_full() -> &'static str {
    &NAMES.full
}
pub fn server_bare() -> &'static str {
    NAMES.bare
}

/// `-v`, `-V`, `-h`: on standard error, as nginx does.
pub fn print_version(configure: bool, help: bool) {
    eprintln!("nginx version: nginx/{NGINX_VERSION} (perilune/{VERSION})");
    if help {
        eprint!("{HELP}");
    }
    if configure {
        eprintln!("built with OpenSSL 3.0.0 7 sep 2021");
        eprintln!("TLS SNI support enabled");
        eprintln!("configure arguments: {CONFIGURE}");
    }
}

const HELP: &str = "\
Usage: perilune [-?hvVtTq] [-s signal] [-p prefix]
             [-e filename] [-c filename] [-g directives]
       perilune lua [options] [script [args]]
       perilune run script.lua [args]

Options:
  -?,-h         : this help
  -v            : show version and exit
  -V            : show version and configure options then exit
  -t            : test configuration and exit
  -T            : test configuration, dump it and exit
  -q            : suppress non-error messages during configuration testing
  -s signal     : send signal to a master process: stop, quit, reopen, reload
  -p prefix     : set prefix path (default: the current directory)
  -e filename   : set error log file (default: logs/error.log)
  -c filename   : set configuration file (default: conf/nginx.conf)
  -g directives : set global directives out of configuration file

";
