//! The report that CI systems read: JUnit XML, a suite for each file.

use super::report::{File, Report};
use quick_xml::Writer;
use quick_xml::events::{BytesText, Event};
use std::borrow::Cow;
use std::io;

/// The document.
///
/// # Errors
/// None that writing to memory has.
pub fn document(report: &Report) -> io::Result<Vec<u8>> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    writer.write_event(Event::Decl(quick_xml::events::BytesDecl::new(
        "1.0",
        Some("UTF-8"),
        None,
    )))?;
    let count = |files: &[File]| -> [String; 2] {
        let cases = || files.iter().flat_map(|file| &file.cases);
        let failed = cases().filter(|case| !case.holds).count();
        [cases().count().to_string(), failed.to_string()]
    };
    let [tests, failures] = count(&report.files);
    writer
        .create_element("testsuites")
        .with_attributes([("name", "claimgate"), ("tests", &tests), ("failures", &failures)])
        .write_inner_content(|writer| {
            report.files.iter().try_for_each(|file| {
                let [tests, failures] = count(std::slice::from_ref(file));
                suite(writer, file, &tests, &failures)
            })
        })?;
    let mut document = writer.into_inner();
    document.push(b'\n');
    Ok(document)
}

fn suite(writer: &mut Writer<Vec<u8>>, file: &File, tests: &str, failures: &str) -> io::Result<()> {
    let name = clean(&file.file);
    let attributes = [
        ("name", &*name),
        ("tests", tests),
        ("failures", failures),
        ("errors", "0"),
        ("skipped", "0"),
    ];
    let element = writer.create_element("testsuite").with_attributes(attributes);
    element.write_inner_content(|writer| {
        for case in &file.cases {
            let own = clean(&case.name);
            let attributes = [("name", &*own), ("classname", &*name), ("file", &*name)];
            let element = writer.create_element("testcase").with_attributes(attributes);
            if case.holds {
                element.write_empty()?;
                continue;
            }
            let message: Vec<String> = case
                .differences
                .iter()
                .map(|one| format!("{}: expected {}, got {}", one.what, one.expected, one.got))
                .collect();
            let message = message.join("; ");
            let details = case.details();
            element.write_inner_content(|writer| {
                writer
                    .create_element("failure")
                    .with_attributes([("message", &*clean(&message)), ("type", "difference")])
                    .write_text_content(BytesText::new(&clean(&details)))?;
                Ok(())
            })?;
        }
        Ok(())
    })?;
    Ok(())
}

/// A text without the characters that XML 1.0 (section 2.2) has no way to write.
fn clean(text: &str) -> Cow<'_, str> {
    let odd = |c: char| {
        (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}')
    };
    if text.contains(odd) { text.replace(odd, "\u{fffd}").into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_no_character_that_is_not_xml() {
        let cases = [("a<b>&\"\n", "a<b>&\"\n"), ("a\u{0}b\u{1b}", "a\u{fffd}b\u{fffd}")];
        for (text, want) in cases {
            assert_eq!(clean(text), want);
        }
    }
}
