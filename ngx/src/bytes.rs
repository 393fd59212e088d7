//! Byte strings of one worker's thread: cheap to clone and to slice, short ones without memory of their own.
//!
//! A request's head is one allocation that its method, target and header lines are parts of. Unlike in the `bytes` crate the
//! counts are not atomic: no request leaves its worker.
use std::fmt;
use std::ops::Deref;

use hipstr::LocalHipByt;

#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bytes(LocalHipByt<'static>);

impl Bytes {
    pub const fn new() -> Bytes {
        Bytes(LocalHipByt::new())
    }
    pub const fn from_static(bytes: &'static [u8]) -> Bytes {
        Bytes(LocalHipByt::borrowed(bytes))
    }
    pub fn copy_from_slice(bytes: &[u8]) -> Bytes {
        Bytes(LocalHipByt::from(bytes))
    }
    /// The part of `self` that `part` points to; a copy where it points elsewhere.
    pub fn slice_ref(&self, part: &[u8]) -> Bytes {
        if part.len() <= LocalHipByt::inline_capacity() {
            return Bytes::copy_from_slice(part);
        }
        Bytes(self.0.try_slice_ref(part).unwrap_or_else(|| LocalHipByt::from(part)))
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.0.as_slice()
    }
}
impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}
impl PartialEq<[u8]> for Bytes {
    fn eq(&self, other: &[u8]) -> bool {
        **self == *other
    }
}
impl PartialEq<&str> for Bytes {
    fn eq(&self, other: &&str) -> bool {
        **self == *other.as_bytes()
    }
}
impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Bytes {
        Bytes(LocalHipByt::from(bytes))
    }
}
impl From<String> for Bytes {
    fn from(text: String) -> Bytes {
        Bytes::from(text.into_bytes())
    }
}
impl From<&'static str> for Bytes {
    fn from(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }
}
impl From<&'static [u8]> for Bytes {
    fn from(bytes: &'static [u8]) -> Bytes {
        Bytes::from_static(bytes)
    }
}
impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}
