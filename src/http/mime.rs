//! The MIME types that are known without a `types` block, as nginx has them built in.

use ngx::bytes::Bytes;

use crate::conf::settings::Settings;

/// The Content-Type for a URI: by the extension of its last segment, else default_type.
pub fn of(uri: &[u8], settings: &Settings) -> Bytes {
    let name = uri.rsplit(|&b| b == b'/').next().unwrap_or_default();
    if let Some(dot) = name.iter().rposition(|&b| b == b'.') {
        let extension = name[dot + 1..].to_ascii_lowercase();
        let found = match &settings.types {
            Some(types) => types.get(&extension).map(|kind| Bytes::copy_from_slice(kind)),
            None => BUILT_IN
                .iter()
                .find(|(known, _)| known.as_bytes() == extension)
                .map(|(_, kind)| Bytes::from_static(kind.as_bytes())),
        };
        if let Some(kind) = found {
            return kind;
        }
    }
    settings.default_type.as_ref().map_or(Bytes::from_static(b"text/plain"), |kind| Bytes::copy_from_slice(kind))
}

const BUILT_IN: [(&str, &str); 3] = [("html", "text/html"), ("gif", "image/gif"), ("jpg", "image/jpeg")];
