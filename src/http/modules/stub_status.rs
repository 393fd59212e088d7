//! The stub_status module: counts of connections and requests.

use std::sync::atomic::{AtomicU64, Ordering};

use ngx::request::Request;

use crate::http::live::Live;
use crate::http::phases::Next;

/// Connections: open, with half a request head, with a request in service, idle.
pub struct Now {
    pub active: u64,
    pub reading: u64,
    pub writing: u64,
    pub waiting: u64,
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

pub fn now(live: &Live) -> Now {
    let counts = &live.worker.counts;
    let (active, reading, writing) = (get(&counts.open), counts.reading(), counts.writing());
    Now { active, reading, writing, waiting: active.saturating_sub(reading + writing) }
}

pub async fn serve(live: &Live, request: &mut Request) -> Next {
    if !matches!(&request.method[..], b"GET" | b"HEAD") {
        return Next::Status(405);
    }
    let counts = &live.worker.counts;
    let accepted = get(&counts.accepted);
    let Now { active, reading, writing, waiting } = now(live);
    let text = format!(
        "Active connections: {active} \nserver accepts handled requests\n {accepted} {accepted} {} \n\
         Reading: {reading} Writing: {writing} Waiting: {waiting} \n",
        counts.requests(),
    );
    phases::text(live, request, "text/plain", text.into_bytes()).await
}

use crate::http::phases;
