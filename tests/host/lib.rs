//! Verifies signatures inside of Envoy by both backends, for `tests/e2e/signature_vectors.rs`: the cases are the
//! configuration, and the verdicts go to the log.
//!
//! It refuses every configuration, so that Envoy ends once the cases have run, instead of running them again on every
//! thread that serves.
#![cfg(target_arch = "wasm32")]

#[path = "../vectors/case.rs"]
mod case;
/// The filter's own calls, so that nothing between its backend and the host is another's.
#[path = "../../src/filter/host.rs"]
#[allow(dead_code, reason = "the filter uses the rest")]
mod host;

// What `host` names of the crate that it is a part of.
use claimgate::{request, response, time};

use case::Case;
use claimgate::token::signature::{Algorithm, Hosted, Portable};
use serde_json::{Value, json};
use std::cell::Cell;

thread_local! {
    /// How often the host answered.
    static ANSWERS: Cell<usize> = const { Cell::new(0) };
}

/// Asks the host, and counts its answers: without one the hosted backend is silently the portable one.
fn ask(argument: &[u8]) -> Option<Vec<u8>> {
    let answer = host::verify_signature(argument)?;
    ANSWERS.set(ANSWERS.get() + 1);
    Some(answer)
}

/// What both backends say of each case, and whether the host had a say in it.
fn run(cases: &[Case]) -> Value {
    let hosted = Hosted::probe(ask);
    let proven = Algorithm::ALL.into_iter().filter(|one| hosted.proven().contains(*one));
    let verdict = |case: &Case| {
        let before = ANSWERS.get();
        let by_host = case.verified(&hosted);
        (by_host, case.verified(&Portable), ANSWERS.get() > before)
    };
    json!({
        "proven": proven.map(Algorithm::name).collect::<Vec<_>>(),
        "verdicts": cases.iter().map(verdict).collect::<Vec<_>>(),
    })
}

/// The version of the interface between Envoy and a module.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_abi_version_0_2_1() {}

/// Memory for what the host hands over; `host` takes it back as a vector of exactly this size.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    Box::leak(vec![0; size].into_boxed_slice()).as_mut_ptr()
}

/// A context begins.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_context_create(_context: u32, _parent: u32) {}

/// The VM starts: yes.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_vm_start(_context: u32, _size: u32) -> u32 {
    1
}

/// Runs the cases; whatever goes wrong is a trap, which the test finds in the log.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_configure(_context: u32, size: usize) -> u32 {
    let cases = host::buffer(host::Buffer::PluginConfiguration, size).unwrap();
    let cases: Vec<Case> = serde_json::from_slice(&cases).unwrap();
    host::log(log::Level::Info, &run(&cases).to_string()).unwrap();
    0
}
