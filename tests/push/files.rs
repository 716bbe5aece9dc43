//! How a file is replaced: as a whole, where it really is, with others at work on it, again and again.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::fixture::{Deployed, claimgate, commented, filter, key, kids};
use crate::provider::{Answer, Provider};

#[test]
fn a_reader_never_sees_a_part_of_a_file() {
    let (a, b) = (key("a"), key("b"));
    let provider = Provider::start();
    // Large enough that it is not written at once.
    let text = commented(&[&a]) + &format!("# {}\n", "x".repeat(78)).repeat(10_000) + "# the end\n";
    let deployed = Deployed::new("atomic", &text);
    std::fs::set_permissions(&deployed.file, PermissionsExt::from_mode(0o640)).unwrap();
    let done = AtomicBool::new(false);
    let read = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut read = 0;
            while !done.load(Ordering::Relaxed) {
                let text = deployed.text();
                assert!(
                    text.starts_with("# The edge.\n") && text.ends_with("# the end\n"),
                    "{} bytes",
                    text.len()
                );
                assert_eq!(kids(&text).len(), 1);
                read += 1;
            }
            read
        });
        for key in [&b, &a].into_iter().cycle().take(10) {
            provider.publishes(&[key]);
            deployed.push(&["--from", &provider.jwks()]).ok();
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    });
    assert!(read > 10, "read {read} times");
    assert_eq!(deployed.file.metadata().unwrap().mode() & 0o7777, 0o640);
    deployed.is_alone();
}

#[test]
fn a_link_stays_and_what_it_leads_to_is_replaced() {
    let (a, b) = (key("a"), key("b"));
    let provider = Provider::start();
    provider.publishes(&[&b]);
    let deployed = Deployed::new("link", &commented(&[&a]));
    // As Kubernetes mounts a ConfigMap: a link to a folder that a link leads to.
    let (volume, real) = (deployed.folder.join("volume"), deployed.folder.join("volume/..2026"));
    std::fs::create_dir_all(&real).unwrap();
    std::fs::rename(&deployed.file, real.join("filter.yaml")).unwrap();
    symlink("..2026", volume.join("..data")).unwrap();
    symlink("..data/filter.yaml", volume.join("filter.yaml")).unwrap();
    symlink("volume/filter.yaml", &deployed.file).unwrap();
    let ran = deployed.push(&["--from", &provider.jwks()]).ok();
    let target = real.join("filter.yaml").canonicalize().unwrap();
    assert!(ran.out.starts_with(&format!("{}: ", target.display())), "{}", ran.out);
    assert!(deployed.file.symlink_metadata().unwrap().is_symlink());
    assert!(volume.join("filter.yaml").symlink_metadata().unwrap().is_symlink());
    assert_eq!(kids(&std::fs::read_to_string(target).unwrap()), ["b"]);
    assert_eq!(std::fs::read_dir(&real).unwrap().count(), 1);
}

#[test]
fn pushers_at_once_do_not_undo_each_other() {
    let keys: Vec<_> = (0..4).map(|index| key(&format!("new-{index}"))).collect();
    let mut configuration = filter(&[]);
    let old = key("old");
    configuration["issuers"] = (0..4)
        .map(|index| {
            let issuer = json!({"issuer": format!("https://{index}.example.com"), "audiences": ["api"], "keys": [{"jwks": {"keys": [old]}}]});
            (format!("i{index}"), issuer)
        })
        .collect::<serde_json::Map<_, _>>()
        .into();
    configuration["defaults"] = json!({"issuers": ["i0", "i1", "i2", "i3"]});
    for round in 0..3 {
        let deployed = Deployed::new("at_once", &configuration.to_string());
        let pushers: Vec<Child> = keys
            .iter()
            .enumerate()
            .map(|(index, key)| {
                let provider = Provider::start();
                provider.publishes(&[key]);
                let issuer = format!("i{index}");
                let arguments = [
                    "keys",
                    "push",
                    deployed.file.to_str().unwrap(),
                    "--issuer",
                    &issuer,
                    "--from",
                ];
                let mut command = claimgate();
                command
                    .args(arguments)
                    .arg(provider.jwks())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null());
                command.spawn().unwrap()
            })
            .collect();
        for mut pusher in pushers {
            assert!(pusher.wait().unwrap().success());
        }
        let mut there = kids(&deployed.text());
        there.sort();
        assert_eq!(there, ["new-0", "new-1", "new-2", "new-3"], "round {round}");
        deployed.is_alone();
    }
}

/// A push that goes on, and is ended whatever comes.
struct Going(Child);

impl Going {
    fn on(deployed: &Deployed, provider: &Provider) -> Self {
        let arguments =
            ["keys", "push", deployed.file.to_str().unwrap(), "--every", "1s", "--from"];
        let mut command = claimgate();
        command.args(arguments).arg(provider.jwks()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// Ends it by a signal; its status and what it said.
    fn end(mut self, signal: &str) -> (Option<i32>, String, String) {
        let id = self.0.id().to_string();
        assert!(std::process::Command::new("kill").args([signal, &id]).status().unwrap().success());
        let status = self.0.wait().unwrap();
        let text =
            |pipe: Option<&mut dyn std::io::Read>| std::io::read_to_string(pipe.unwrap()).unwrap();
        let out = text(self.0.stdout.as_mut().map(|pipe| pipe as _));
        (status.code(), out, text(self.0.stderr.as_mut().map(|pipe| pipe as _)))
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn eventually(holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < end, "it did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn it_goes_on_through_failures_until_a_signal() {
    let (a, b, c) = (key("a"), key("b"), key("c"));
    for signal in ["-TERM", "-INT"] {
        let provider = Provider::start();
        provider.publishes(&[&b]);
        let deployed = Deployed::new("every", &commented(&[&a]));
        let going = Going::on(&deployed, &provider);
        eventually(|| kids(&deployed.text()) == ["b"]);
        provider.answers("/jwks.json", Answer::Http(500, String::new(), Vec::new()));
        let asked = provider.asked().len();
        eventually(|| provider.asked().len() > asked + 1);
        assert_eq!(kids(&deployed.text()), ["b"]);
        // The file may be replaced by somebody else meanwhile.
        let moved = deployed.text().replace("1h", "2h");
        std::fs::write(&deployed.file, &moved).unwrap();
        provider.publishes(&[&b, &c]);
        eventually(|| kids(&deployed.text()) == ["b", "c"]);
        let asked = provider.asked().len();
        eventually(|| provider.asked().len() > asked + 1);
        let (status, out, err) = going.end(signal);
        assert_eq!(status, Some(0), "{err}");
        // What changes nothing is not told of each time.
        assert_eq!(out.matches(": pushed, keys: ").count(), 2, "{out}");
        assert_eq!(out.matches("nothing changed").count(), 0, "{out}");
        assert!(err.contains("error: ") && err.contains("status 500"), "{err}");
        assert!(deployed.text().contains("max_lifetime: 2h"));
        deployed.is_alone();
    }
    // Also while it waits for an answer.
    let provider = Provider::start();
    provider.answers("/jwks.json", Answer::Stall);
    let deployed = Deployed::new("every_stalled", &commented(&[&a]));
    let before = deployed.identity();
    let going = Going::on(&deployed, &provider);
    eventually(|| !provider.asked().is_empty());
    assert_eq!(going.end("-TERM").0, Some(0));
    assert_eq!(deployed.identity(), before);
}
