//! A Wasm filter that does nothing: what the host alone takes for one, the floor of every filter.
//!
//! The benchmark compiles it with `rustc --target wasm32-wasip1 --crate-type cdylib`; no Cargo target holds it.

/// The version of the interface between Envoy and a filter.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_abi_version_0_2_1() {}

/// Memory for what the host hands over; nothing is ever asked for here.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    vec![0; size].leak().as_mut_ptr()
}

/// A context begins.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_context_create(_context: u32, _parent: u32) {}

/// The VM starts: yes.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_vm_start(_context: u32, _size: u32) -> u32 {
    1
}

/// A configuration: accepted.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_configure(_context: u32, _size: u32) -> u32 {
    1
}

/// The headers of a request: go on.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_headers(_context: u32, _headers: u32, _end: u32) -> u32 {
    0
}
