//! Safe wrappers of the host calls (Proxy-Wasm ABI 0.2.1).
//!
//! The SDK's own panic on any status that they do not expect. A trap while a worker loads would
//! leave that worker open, so here every refusal of the host is a value.
#![allow(unsafe_code, reason = "the ABI is a set of foreign functions")]

use crate::request::Header;
use crate::response::Response;
use crate::time::Timestamp;
use std::ptr::null_mut;

/// A header map of the stream.
#[derive(Clone, Copy)]
pub enum Map {
    /// Request headers.
    RequestHeaders = 0,
    /// Request trailers.
    RequestTrailers = 1,
    /// Response headers.
    ResponseHeaders = 2,
    /// Headers of the answer to a call.
    CallResponseHeaders = 6,
}

/// A buffer.
#[derive(Clone, Copy)]
pub enum Buffer {
    /// Body of the answer to a call.
    CallResponseBody = 4,
    /// The plugin's configuration.
    PluginConfiguration = 7,
}

/// What a metric counts.
#[derive(Clone, Copy)]
pub enum Metric {
    /// Only grows.
    Counter = 0,
    /// Is what was last recorded.
    Gauge = 1,
    /// Counts how often which values are recorded.
    Histogram = 2,
}

/// The host refused a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The function.
    pub function: &'static str,
    /// The status, as the ABI numbers them.
    pub status: u32,
}

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the host refuses `{}` with status {}", self.function, self.status)
    }
}

mod ffi {
    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        pub fn proxy_log(level: u32, data: *const u8, size: usize) -> u32;
        pub fn proxy_get_log_level(level: *mut u32) -> u32;
        pub fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
        pub fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
        pub fn proxy_set_effective_context(context: u32) -> u32;
        pub fn proxy_continue_stream(stream: u32) -> u32;
        pub fn proxy_get_buffer_bytes(
            kind: u32,
            start: usize,
            max: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
        pub fn proxy_remove_header_map_value(map: u32, name: *const u8, size: usize) -> u32;
        pub fn proxy_add_header_map_value(
            map: u32,
            name: *const u8,
            name_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        pub fn proxy_get_property(
            path: *const u8,
            path_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub fn proxy_set_property(
            path: *const u8,
            path_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        pub fn proxy_send_local_response(
            status: u32,
            details: *const u8,
            details_size: usize,
            body: *const u8,
            body_size: usize,
            headers: *const u8,
            headers_size: usize,
            grpc_status: i32,
        ) -> u32;
        pub fn proxy_call_foreign_function(
            name: *const u8,
            name_size: usize,
            argument: *const u8,
            argument_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub fn proxy_get_shared_data(
            name: *const u8,
            name_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
            version: *mut u32,
        ) -> u32;
        pub fn proxy_set_shared_data(
            name: *const u8,
            name_size: usize,
            value: *const u8,
            value_size: usize,
            version: u32,
        ) -> u32;
        pub fn proxy_define_metric(kind: u32, name: *const u8, size: usize, id: *mut u32) -> u32;
        pub fn proxy_increment_metric(id: u32, offset: i64) -> u32;
        pub fn proxy_record_metric(id: u32, value: u64) -> u32;
    }
}

fn check(function: &'static str, status: u32) -> Result<(), Denied> {
    if status == 0 { Ok(()) } else { Err(Denied { function, status }) }
}

/// Takes over bytes that the host put into memory which it got from `proxy_on_memory_allocate`.
fn take(data: *mut u8, size: usize) -> Vec<u8> {
    if data.is_null() {
        return Vec::new();
    }
    // SAFETY: the SDK's allocator hands out boxed slices of exactly this size, and the host gives
    // each of them up.
    unsafe { Vec::from_raw_parts(data, size, size) }
}

/// A level, as the ABI numbers it.
fn number(level: log::Level) -> u32 {
    match level {
        log::Level::Trace => 0,
        log::Level::Debug => 1,
        log::Level::Info => 2,
        log::Level::Warn => 3,
        log::Level::Error => 4,
    }
}

/// Writes a line into Envoy's log, which prints it only if [`prints`] says so.
pub fn log(level: log::Level, message: &str) -> Result<(), Denied> {
    // SAFETY: the host reads the message within the call.
    let status = unsafe { ffi::proxy_log(number(level), message.as_ptr(), message.len()) };
    check("proxy_log", status)
}

/// Whether Envoy's log prints lines of this level. `None` where the host does not say.
pub fn prints(level: log::Level) -> Option<bool> {
    let mut least = u32::MAX;
    // SAFETY: the host writes one word within the call.
    let status = unsafe { ffi::proxy_get_log_level(&mut least) };
    (status == 0).then_some(least <= number(level))
}

/// Fills this with randomness.
pub fn random(bytes: &mut [u8]) -> Result<(), Denied> {
    const INTERNAL_FAILURE: u32 = 10;
    getrandom::fill(bytes).map_err(|_| Denied { function: "random_get", status: INTERNAL_FAILURE })
}

/// The time.
pub fn now() -> Result<Timestamp, Denied> {
    let mut nanos = 0;
    // SAFETY: the host writes one word within the call.
    let status = unsafe { ffi::proxy_get_current_time_nanoseconds(&mut nanos) };
    check("proxy_get_current_time_nanoseconds", status).map(|()| Timestamp::from_nanos(nanos))
}

/// Asks for a tick every so many milliseconds.
pub fn set_tick_period(millis: u32) -> Result<(), Denied> {
    // SAFETY: takes a number only.
    let status = unsafe { ffi::proxy_set_tick_period_milliseconds(millis) };
    check("proxy_set_tick_period_milliseconds", status)
}

/// Acts for another context until the callback ends or this is called again.
pub fn set_effective_context(context: u32) -> Result<(), Denied> {
    // SAFETY: takes a number only.
    let status = unsafe { ffi::proxy_set_effective_context(context) };
    check("proxy_set_effective_context", status)
}

/// Lets a request go on that was paused.
pub fn continue_request() -> Result<(), Denied> {
    const REQUEST: u32 = 0;
    // SAFETY: takes a number only.
    let status = unsafe { ffi::proxy_continue_stream(REQUEST) };
    check("proxy_continue_stream", status)
}

/// A buffer, of a size that the host has told.
pub fn buffer(kind: Buffer, size: usize) -> Result<Vec<u8>, Denied> {
    if size == 0 {
        return Ok(Vec::new());
    }
    let (mut data, mut length) = (null_mut(), 0);
    // SAFETY: the host writes a pointer and a length within the call.
    let status =
        unsafe { ffi::proxy_get_buffer_bytes(kind as u32, 0, size, &mut data, &mut length) };
    check("proxy_get_buffer_bytes", status).map(|()| take(data, length))
}

/// All pairs of a header map, as the host serialises them; [`pairs`] takes them apart.
pub fn header_map(map: Map) -> Result<Vec<u8>, Denied> {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: the host writes a pointer and a length within the call.
    let status = unsafe { ffi::proxy_get_header_map_pairs(map as u32, &mut data, &mut size) };
    check("proxy_get_header_map_pairs", status).map(|()| take(data, size))
}

/// Takes serialised pairs apart: a count, the lengths of each name and value, and then these, each
/// with a final NUL. `None` where the bytes are cut short.
pub fn pairs(map: &[u8]) -> Option<Vec<Header<'_>>> {
    if map.is_empty() {
        return Some(Vec::new());
    }
    let (count, rest) = map.split_first_chunk::<4>()?;
    let count = u32::from_le_bytes(*count) as usize;
    let (lengths, mut data) = rest.split_at_checked(count.checked_mul(8)?)?;
    let mut pairs = Vec::with_capacity(count);
    for pair in lengths.chunks_exact(8) {
        let (name, value) = pair.split_first_chunk::<4>()?;
        let mut text = |length: &[u8; 4]| {
            let (text, rest) = data.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            data = rest.get(1..)?;
            Some(text)
        };
        let name = text(name)?;
        pairs.push((name, text(value.first_chunk::<4>()?)?));
    }
    Some(pairs)
}

fn serialise(headers: &[(&str, String)]) -> Vec<u8> {
    let mut bytes = (headers.len() as u32).to_le_bytes().to_vec();
    for (name, value) in headers {
        bytes.extend((name.len() as u32).to_le_bytes());
        bytes.extend((value.len() as u32).to_le_bytes());
    }
    for (name, value) in headers {
        bytes.extend(name.as_bytes());
        bytes.push(0);
        bytes.extend(value.as_bytes());
        bytes.push(0);
    }
    bytes
}

/// Removes every value of a header.
pub fn remove_header(map: Map, name: &[u8]) -> Result<(), Denied> {
    // SAFETY: the host reads the name within the call.
    let status =
        unsafe { ffi::proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) };
    check("proxy_remove_header_map_value", status)
}

/// Adds a header.
pub fn add_header(map: Map, name: &str, value: &[u8]) -> Result<(), Denied> {
    // SAFETY: the host reads both within the call.
    let status = unsafe {
        ffi::proxy_add_header_map_value(
            map as u32,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        )
    };
    check("proxy_add_header_map_value", status)
}

/// A property, by its path with NUL between the parts. `None` where there is none.
pub fn property(path: &str) -> Option<Vec<u8>> {
    try_property(path).ok().flatten()
}

/// A property, told apart from a host that tells none.
pub fn try_property(path: &str) -> Result<Option<Vec<u8>>, Denied> {
    const NOT_FOUND: u32 = 1;
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: the host reads the path, and writes a pointer and a length, within the call.
    let status =
        unsafe { ffi::proxy_get_property(path.as_ptr(), path.len(), &mut data, &mut size) };
    match status {
        NOT_FOUND => Ok(None),
        status => check("proxy_get_property", status).map(|()| Some(take(data, size))),
    }
}

/// Sets a filter state.
pub fn set_property(name: &str, value: &str) -> Result<(), Denied> {
    // SAFETY: the host reads both within the call.
    let status =
        unsafe { ffi::proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
    check("proxy_set_property", status)
}

/// What workers share under a name, and its version. Nothing, of version 0, where there is none yet.
pub fn shared(name: &[u8]) -> Result<(Vec<u8>, u32), Denied> {
    const NOT_FOUND: u32 = 1;
    let (mut data, mut size, mut version) = (null_mut(), 0, 0);
    // SAFETY: the host reads the name, and writes a pointer, a length and a word, within the call.
    let status = unsafe {
        ffi::proxy_get_shared_data(name.as_ptr(), name.len(), &mut data, &mut size, &mut version)
    };
    match status {
        NOT_FOUND => Ok((Vec::new(), 0)),
        status => check("proxy_get_shared_data", status).map(|()| (take(data, size), version)),
    }
}

/// Replaces what workers share under a name. False where another worker did so since that version; version 0 replaces
/// whatever is there.
pub fn share(name: &[u8], value: &[u8], version: u32) -> Result<bool, Denied> {
    const MISMATCH: u32 = 8;
    // SAFETY: the host reads both within the call.
    let status = unsafe {
        ffi::proxy_set_shared_data(name.as_ptr(), name.len(), value.as_ptr(), value.len(), version)
    };
    match status {
        MISMATCH => Ok(false),
        status => check("proxy_set_shared_data", status).map(|()| true),
    }
}

/// Envoy's foreign function `verify_signature`. `None` where there is none, or it fails.
pub fn verify_signature(argument: &[u8]) -> Option<Vec<u8>> {
    const NAME: &str = "verify_signature";
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: the host reads name and argument, and writes a pointer and a length, within the call.
    let status = unsafe {
        ffi::proxy_call_foreign_function(
            NAME.as_ptr(),
            NAME.len(),
            argument.as_ptr(),
            argument.len(),
            &mut data,
            &mut size,
        )
    };
    (status == 0).then(|| take(data, size))
}

/// Answers the request.
pub fn respond(response: &Response) -> Result<(), Denied> {
    let headers = serialise(&response.headers);
    let (details, body) = (response.details, &response.body);
    // SAFETY: the host reads all of it within the call.
    let status = unsafe {
        ffi::proxy_send_local_response(
            response.status.into(),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            response.grpc_status.map_or(-1, i32::from),
        )
    };
    check("proxy_send_local_response", status)
}

/// Defines a metric, or finds it where it is defined.
pub fn define_metric(kind: Metric, name: &str) -> Result<u32, Denied> {
    let mut id = 0;
    // SAFETY: the host reads the name, and writes one word, within the call.
    let status =
        unsafe { ffi::proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &mut id) };
    check("proxy_define_metric", status).map(|()| id)
}

/// Adds to a counter or a gauge, from which it may also take.
pub fn increment_metric(id: u32, offset: i64) -> Result<(), Denied> {
    // SAFETY: takes numbers only.
    let status = unsafe { ffi::proxy_increment_metric(id, offset) };
    check("proxy_increment_metric", status)
}

/// Sets a gauge, or adds a value to a histogram.
pub fn record_metric(id: u32, value: u64) -> Result<(), Denied> {
    // SAFETY: takes numbers only.
    let status = unsafe { ffi::proxy_record_metric(id, value) };
    check("proxy_record_metric", status)
}
