#![forbid(unsafe_code)]
pub mod shdict;
