//! The instruction set and the form of a compiled function.
mod chunk_id;
pub mod disasm;
pub mod names;
pub mod op;
pub mod proto;
pub mod verify;

pub use chunk_id::chunk_id;
pub use op::{MULTI, OPS, Op};
pub use proto::{Cap, Capture, Const, Local, Proto};

#[cfg(test)]
mod tests {
    #[test]
    fn an_instruction_is_eight_bytes() {
        assert_eq!(std::mem::size_of::<super::Op>(), 8);
    }
}
