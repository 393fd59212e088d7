//! The phases Lua runs in, as bits, so that a native's row can say in which ones it is legal.
//!
//! Names and words are lua-nginx-module's: `get_phase()` returns `name`, errors say "API disabled in the context of `context`".

/// A set of phases.
pub type Phases = u32;

macro_rules! phases {
    ($($id:ident = $bit:literal, $name:literal, $context:literal;)*) => {
        /// One phase of a request, or of the worker's life.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum Phase { $($id = 1 << $bit,)* }

        impl Phase {
            /// What `ngx.get_phase()` calls it.
            pub fn name(self) -> &'static str {
                match self { $(Phase::$id => $name,)* }
            }
            /// How error messages call it.
            pub fn context(self) -> &'static str {
                match self { $(Phase::$id => $context,)* }
            }
            pub const fn bit(self) -> Phases {
                self as u32
            }
        }
        /// Every phase.
        pub const ALL: &[Phase] = &[$(Phase::$id,)*];
    };
}

phases! {
    Init = 0, "init", "init_by_lua*";
    InitWorker = 1, "init_worker", "init_worker_by_lua*";
    ExitWorker = 2, "exit_worker", "exit_worker_by_lua*";
    Set = 3, "set", "set_by_lua*";
    ServerRewrite = 4, "server_rewrite", "server_rewrite_by_lua*";
    Rewrite = 5, "rewrite", "rewrite_by_lua*";
    Access = 6, "access", "access_by_lua*";
    Content = 7, "content", "content_by_lua*";
    HeaderFilter = 8, "header_filter", "header_filter_by_lua*";
    BodyFilter = 9, "body_filter", "body_filter_by_lua*";
    Log = 10, "log", "log_by_lua*";
    Timer = 11, "timer", "ngx.timer";
    WorkerThread = 12, "worker_thread", "ngx.run_worker_thread";
    Precontent = 13, "precontent", "precontent_by_lua*";
}

/// Phases in which a request of a client is at hand and its answer not yet on its way.
pub const REQUEST: Phases = Phase::ServerRewrite.bit()
    | Phase::Rewrite.bit()
    | Phase::Access.bit()
    | Phase::Precontent.bit()
    | Phase::Content.bit();
/// Phases in which a request of a client is at hand.
pub const WITH_REQUEST: Phases =
    REQUEST | Phase::Set.bit() | Phase::HeaderFilter.bit() | Phase::BodyFilter.bit() | Phase::Log.bit();
/// Every phase, as a set.
pub const ANY: Phases = (1 << 14) - 1;
/// Phases whose Lua may wait: all but the one that runs before there is anything to wait with.
pub const WAITING: Phases = ANY & !Phase::Init.bit();
