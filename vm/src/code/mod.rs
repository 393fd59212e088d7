//! The instruction set and the form of a compiled function.
mod chunk_id;
pub mod disasm;
mod lines;
pub mod names;
pub mod op;
pub mod proto;
pub mod verify;

pub use chunk_id::chunk_id;
pub use lines::Lines;
pub use op::{MULTI, OPS, Op};
pub use proto::{Cap, Capture, Chunk, Const, Info, Local, Proto, VarName};

#[cfg(test)]
mod tests {
    #[test]
    fn an_instruction_is_eight_bytes() {
        assert_eq!(std::mem::size_of::<super::Op>(), 8);
    }
}
