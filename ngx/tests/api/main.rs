//! The ngx API, from Lua: a snippet and the text it prints, one row a behaviour.
//!
//! Snippets run as content_by_lua code of one worker, each for a request of its own (see `support`). After the printed text
//! come the error log's lines, each as `[level] words`; an error's traceback is left out.
mod arguments;
mod bodies;
mod constants;
mod encodings;
mod modules;
mod patterns;
mod pipes;
mod requests;
mod shared;
mod sockets;
mod subrequests;
mod support;
mod threads;
mod waits;
