//! Status lines and the built-in pages, as nginx words them.

/// `404 Not Found`, or just the number where nginx has no words.
pub fn line(status: u16) -> String {
    let mut out = Vec::new();
    write_line(status, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

pub fn write_line(status: u16, out: &mut Vec<u8>) {
    vm::value::number::write_integer(i64::from(status), out);
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
}

fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Time-out",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Large",
        415 => "Unsupported Media Type",
        416 => "Requested Range Not Satisfiable",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Temporarily Unavailable",
        504 => "Gateway Time-out",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "",
    }
}

/// The title of the built-in page; None: there is none for that status.
fn title(status: u16) -> Option<&'static str> {
    Some(match status {
        302 => "302 Found",
        303 => "303 See Other",
        494 => "400 Request Header Or Cookie Too Large",
        495 => "400 The SSL certificate error",
        496 => "400 No required SSL certificate was sent",
        497 => "400 The plain HTTP request was sent to HTTPS port",
        301 => "301 Moved Permanently",
        307 => "307 Temporary Redirect",
        308 => "308 Permanent Redirect",
        400 => "400 Bad Request",
        401 => "401 Authorization Required",
        402 => "402 Payment Required",
        403 => "403 Forbidden",
        404 => "404 Not Found",
        405 => "405 Not Allowed",
        406 => "406 Not Acceptable",
        408 => "408 Request Time-out",
        409 => "409 Conflict",
        410 => "410 Gone",
        411 => "411 Length Required",
        412 => "412 Precondition Failed",
        413 => "413 Request Entity Too Large",
        414 => "414 Request-URI Too Large",
        415 => "415 Unsupported Media Type",
        416 => "416 Requested Range Not Satisfiable",
        421 => "421 Misdirected Request",
        429 => "429 Too Many Requests",
        500 => "500 Internal Server Error",
        501 => "501 Not Implemented",
        502 => "502 Bad Gateway",
        503 => "503 Service Temporarily Unavailable",
        504 => "504 Gateway Time-out",
        505 => "505 HTTP Version Not Supported",
        507 => "507 Insufficient Storage",
        _ => return None,
    })
}

/// What goes onto the wire for nginx's internal codes.
pub fn visible(status: u16) -> u16 {
    match status {
        494..=497 => 400,
        499 => 499,
        status => status,
    }
}

/// After these the connection is closed: what follows on it cannot be trusted, or the server is in trouble.
pub fn closes(status: u16) -> bool {
    matches!(status, 400 | 413 | 414 | 494..=497 | 500 | 501)
}

pub fn page(status: u16, server: &str, padding: bool) -> Option<Vec<u8>> {
    let title = title(status)?;
    let heading = match status {
        494..=497 => "400 Bad Request",
        _ => title,
    };
    let note = match status {
        494 => "<center>Request Header Or Cookie Too Large</center>\r\n",
        497 => "<center>The plain HTTP request was sent to HTTPS port</center>\r\n",
        495 => "<center>The SSL certificate error</center>\r\n",
        496 => "<center>No required SSL certificate was sent</center>\r\n",
        _ => "",
    };
    let mut page = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{heading}</h1></center>\r\n{note}\
         <hr><center>{server}</center>\r\n</body>\r\n</html>\r\n"
    );
    if padding {
        for _ in 0..6 {
            page.push_str("<!-- a padding to disable MSIE and Chrome friendly error page -->\r\n");
        }
    }
    Some(page.into_bytes())
}

/// The access log shows nginx's own codes as they are, except the one for oversized heads.
pub fn visible_in_log(status: u16) -> u16 {
    if matches!(status, 494..=497) { 400 } else { status }
}
