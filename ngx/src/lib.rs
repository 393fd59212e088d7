#![forbid(unsafe_code)]
pub mod clock;
pub mod encoding;
pub mod shdict;
