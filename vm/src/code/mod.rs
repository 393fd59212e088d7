//! The instruction set and the form of a compiled function.
mod chunk_id;
pub mod disasm;
mod info;
mod lines;
pub mod names;
pub mod op;
pub mod proto;
pub mod verify;

pub use chunk_id::chunk_id;
pub use info::{DebugInfo, Info, Local, LocalVar, VarName, write_record};
pub use lines::Lines;
pub use op::{Cap, MULTI, OPS, Op};
pub use proto::{Chunk, Const, Proto};

#[cfg(test)]
mod tests {
    #[test]
    fn an_instruction_is_eight_bytes() {
        assert_eq!(std::mem::size_of::<super::Op>(), 8);
    }
}
