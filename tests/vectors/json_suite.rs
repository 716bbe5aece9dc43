//! JSONTestSuite: what a parser must accept (`y_`) and must refuse (`n_`).

use claimgate::json;

/// Accepted by RFC 8259, and refused here: two readers could see two values.
const DUPLICATES: [&str; 2] =
    ["y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"];

#[test]
fn accepts_and_refuses_as_the_suite_says() {
    let Some(folder) = super::files::folder() else {
        return;
    };
    let mut seen = 0;
    for entry in std::fs::read_dir(folder.join("malformed/jsontestsuite/test_parsing")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let parsed = json::parse(&std::fs::read(&path).unwrap());
        match name.split('_').next() {
            Some("y") => assert_eq!(parsed.is_ok(), !DUPLICATES.contains(&name), "{name}"),
            Some("n") => assert!(parsed.is_err(), "{name}"),
            // Up to the implementation: it must only not panic.
            _ => {}
        }
        seen += 1;
    }
    assert!(seen > 250, "only {seen} files");
}
