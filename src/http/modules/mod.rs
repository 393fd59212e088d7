//! nginx's small modules, one file each: what they do with a request. Their directives are in `conf/directives`.

pub mod access;
pub mod auth_basic;
pub mod auth_request;
pub mod autoindex;
pub mod crypt;
mod des;
pub mod geo;
pub mod limit_conn;
pub mod limit_req;
mod memory_hard;
pub mod mirror;
pub mod network;
pub mod perilune_status;
pub mod realip;
pub mod referer;
pub mod secure_link;
pub mod split_clients;
pub mod stub_status;
pub mod zone;
