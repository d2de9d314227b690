//! SIGTERM under load: an orderly end loses no more than a crash, which is nothing.

use tracegate::clock::Clock;

use super::{Random, addresses, complete, load::Load, node, pause, verify};

#[test]
fn drained_under_load_loses_and_doubles_nothing() {
    let mut random = Random::new("drain");
    let mut server = node().start();
    for round in 0..5 {
        let tag = format!("d{round}");
        let load = Load::start(&addresses(&server), &tag);
        pause(100 + random.below(400));
        let (status, home) = server.terminate();
        let got = load.stop();
        assert_eq!(status.code(), Some(0), "{}", home.log());
        assert!(!home.path().join("data/run.json").exists());
        assert!(!got.names.is_empty(), "round {round}: nobody was answered");
        server = home.start();
        let at = addresses(&server);
        complete(&at, Clock::system().now());
        verify::check(&at, &tag, &got);
        // An orderly end closes its lanes: there is nothing unclean to report.
        assert_eq!(verify::gaps(&at, &format!("{tag}.load.test"), "resolutions"), 0);
    }
}
