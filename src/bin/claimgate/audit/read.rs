//! Audit records out of Envoy's log: plain or gzip, one file or several, text lines or JSON lines. What is
//! held at a time is one buffer, however long the log is.

use crate::Failure;
use claimgate::audit::link::Stamp;
use flate2::read::MultiGzDecoder;
use memchr::{memchr_iter, memmem};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::ops::ControlFlow;
use std::rc::Rc;

/// The longest line that is read, in bytes: Envoy's headers, and so a record, are far shorter.
const MAX_LINE: usize = 1 << 20;

/// How much is read at a time, in bytes; more than a line, so that most of it is whole lines.
const BUFFER: usize = 2 * MAX_LINE;

/// How a record begins in its line.
const BEGINNING: &[u8] = b"claimgate_audit {";

/// Where something stands in the log.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The file as it was given.
    pub file: &'a str,
    /// The line, from 1.
    pub line: u64,
    /// The bytes that were read of all files so far, before they are unpacked.
    pub read: u64,
}

/// What a line of the log holds.
pub enum Found<'a> {
    /// The JSON text of a record, from `{` to `}`.
    Record(&'a str),
    /// A record that cannot be read, and why.
    Unreadable(&'static str),
}

/// Hands over every audit record, and every one that cannot be read, in the order in which the files' first records
/// were written. Lines of other kinds are passed over. Pipes, as `-` is, come last, in the order in which they are given.
///
/// # Errors
/// Where a file cannot be opened, read or unpacked.
pub fn each(paths: &[String], found: &mut dyn FnMut(Found<'_>, Place<'_>)) -> Result<(), Failure> {
    let read = Rc::new(Cell::new(0));
    for path in in_order(paths)? {
        let mut line = 0;
        lines(open(path, &read)?, &mut |bytes| {
            line += 1;
            let mut unescaped = String::new();
            if let Some(what) = record(bytes, &mut unescaped) {
                found(what, Place { file: path, line, read: read.get() });
            }
            ControlFlow::Continue(())
        })
        .map_err(|error| told(path, &error))?;
    }
    Ok(())
}

/// The bytes of all files, packed as they are; `None` where standard input is among them.
pub fn size(paths: &[String]) -> Option<u64> {
    paths
        .iter()
        .map(|path| std::fs::metadata(path).ok().filter(|file| file.is_file()))
        .try_fold(0_u64, |sum, file| Some(sum.saturating_add(file?.len())))
}

/// The files by the time at which their first record was written, so that rotated ones may be given in any order.
fn in_order(paths: &[String]) -> Result<Vec<&str>, Failure> {
    let stdin = paths.iter().filter(|path| *path == "-").count();
    if stdin > 1 {
        return Err("`-` is given twice: standard input can be read once".to_owned());
    }
    let mut keyed = Vec::new();
    for path in paths {
        // Only where there is something to order, and a file, which can be read twice.
        let file = std::fs::metadata(path).is_ok_and(|file| file.is_file());
        let first = if paths.len() > 1 && file { first(path)? } else { None };
        keyed.push((!file, first, path.as_str()));
    }
    keyed.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
    Ok(keyed.into_iter().map(|(_, _, path)| path).collect())
}

/// When the first record of a file was written that says so.
fn first(path: &str) -> Result<Option<Stamp>, Failure> {
    let mut first = None;
    let done = lines(open(path, &Rc::default())?, &mut |bytes| {
        let mut unescaped = String::new();
        if let Some(Found::Record(text)) = record(bytes, &mut unescaped) {
            first = Stamp::written(text);
        }
        if first.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    done.map_err(|error| told(path, &error))?;
    Ok(first)
}

fn told(path: &str, error: &io::Error) -> Failure {
    let path = if path == "-" { "standard input".to_owned() } else { format!("`{path}`") };
    format!("{path}: cannot be read as a log or a gzip of one: {error}")
}

/// Opens a file, or standard input, and unpacks it where it begins as gzip does (RFC 1952 section 2.3.1).
fn open(path: &str, read: &Rc<Cell<u64>>) -> Result<Box<dyn Read>, Failure> {
    let raw: Box<dyn Read> = if path == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(|error| format!("`{path}`: {error}"))?)
    };
    let counted = Counted { raw, read: Rc::clone(read) };
    let mut buffered = BufReader::with_capacity(1 << 16, counted);
    let start = buffered.fill_buf().map_err(|error| told(path, &error))?;
    if start.starts_with(&[0x1f, 0x8b]) {
        Ok(Box::new(MultiGzDecoder::new(buffered)))
    } else {
        Ok(Box::new(buffered))
    }
}

struct Counted {
    raw: Box<dyn Read>,
    read: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.raw.read(buffer)?;
        self.read.set(self.read.get().saturating_add(length as u64));
        Ok(length)
    }
}

/// Hands over every line without its end, `None` for one that is too long.
fn lines(
    mut from: Box<dyn Read>,
    each: &mut dyn FnMut(Option<&[u8]>) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    // What of the buffer is read and not handed over yet begins it, and is so long.
    let mut filled = 0;
    let mut skipping = false;
    loop {
        let length = match from.read(buffer.get_mut(filled..).unwrap_or_default()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            length => length?,
        };
        let before = filled;
        filled += length;
        let held = buffer.get(..filled).unwrap_or_default();
        let fresh = held.get(before..).unwrap_or_default();
        let mut start = 0;
        for end in memchr_iter(b'\n', fresh) {
            let line = held.get(start..before + end).unwrap_or_default();
            start = before + end + 1;
            let line = (!skipping && line.len() <= MAX_LINE).then_some(line);
            skipping = false;
            if each(line).is_break() {
                return Ok(());
            }
        }
        if length == 0 {
            if skipping || filled > 0 {
                let _ = each((!skipping && filled <= MAX_LINE).then_some(held));
            }
            return Ok(());
        }
        if skipping || filled - start > MAX_LINE {
            (skipping, filled) = (true, 0);
        } else {
            buffer.copy_within(start..filled, 0);
            filled -= start;
        }
    }
}

/// The record of a line, if one is in it.
fn record<'a>(line: Option<&'a [u8]>, unescaped: &'a mut String) -> Option<Found<'a>> {
    let Some(line) = line else {
        return Some(Found::Unreadable("a line is longer than 1 MiB"));
    };
    let at = memmem::find(line, BEGINNING)?;
    let rest = line.get(at + BEGINNING.len() - 1..)?;
    let escaped = rest.get(1) == Some(&b'\\');
    // A line that is escaped without being a JSON string ends with it.
    let text = if escaped { string(rest).unwrap_or(rest) } else { rest };
    let Ok(mut text) = std::str::from_utf8(text) else {
        return Some(Found::Unreadable("a record is not UTF-8"));
    };
    if escaped {
        let Ok(plain) = serde_json::from_str(&format!("\"{}\"", text.trim_ascii_end())) else {
            return Some(Found::Unreadable("a record stands wrongly escaped in its line"));
        };
        *unescaped = plain;
        text = unescaped;
    }
    // No record holds a control character: what comes after one is another field of the line, as Istio has it.
    let text = text.split(|c: char| c.is_ascii_control()).next().unwrap_or_default();
    let text = text.trim_ascii_end();
    Some(if text.ends_with('}') {
        Found::Record(text)
    } else {
        Found::Unreadable("a record is cut off, or something stands after it on its line")
    })
}

/// What comes before the end of a JSON string that has begun.
fn string(text: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text.get(at) == Some(&b'"') {
            return text.get(..at);
        }
        at += 2;
    }
}
