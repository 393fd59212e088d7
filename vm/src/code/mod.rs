//! The instruction set and the form of a compiled function.
pub mod op;
pub mod proto;

pub use op::{MULTI, OPS, Op};
pub use proto::{Cap, Capture, Const, Local, Proto};

#[cfg(test)]
mod tests {
    #[test]
    fn an_instruction_is_eight_bytes() {
        assert_eq!(std::mem::size_of::<super::Op>(), 8);
    }
}
