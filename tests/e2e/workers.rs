//! Several workers decide alike.

use serde_json::json;

use crate::harness::keys::P256;
use crate::harness::{Proxy, Request, Setup, claims, filter};

#[test]
fn every_worker_holds_the_gate() {
    let proxy = Proxy::start(
        Setup::new(filter(json!([{"name": "closed", "paths": ["/closed"]}]))).workers(2),
    );
    let token = claims().sign(&P256);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..25 {
                        proxy.send(Request::get("/closed")).refused("token_missing");
                        proxy.send(Request::get("/closed").bearer(&token)).allowed();
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
    for worker in ["worker_0", "worker_1"] {
        let served = proxy.stat(&format!("{worker}.downstream_cx_total"));
        assert!(served > 0, "{worker} served nothing");
    }
    let total = crate::harness::eventually(std::time::Duration::from_secs(5), || {
        Some(proxy.stat("claimgate_requests_total")).filter(|total| *total >= 200)
    });
    assert_eq!(total, Some(200), "the workers' counts add up");
}
