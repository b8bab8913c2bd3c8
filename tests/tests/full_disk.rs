//! A disk without room: 503 with `Retry-After`, and when there is room again, intake goes on with nothing lost.

use balefire_tests::deliveries;
use balefire_tests::left_out;
use balefire_tests::server::Site;
use balefire_tests::sink::Sink;
use balefire_tests::storm::Storm;
use balefire_tests::wait;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system of its own; unmounted at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where this user may not mount.
    fn mount(path: &Path) -> Option<SmallDisk> {
        fs::create_dir_all(path).expect("the directory is ours");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=24m", "balefire"]).arg(path).output().ok()?;
        mounted.status.success().then(|| SmallDisk(path.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server that is still being killed may hold it for a moment.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[test]
fn a_full_disk_refuses_with_503_and_goes_on_when_there_is_room_with_nothing_acknowledged_lost() {
    let sink = Sink::start();
    let site = Site::new(&format!(
        "channels: {{hook: {{webhook: {{url: \"{}\"}}}}}}\ndedup: {{enabled: false}}\nrouting: custom\nroutes: [{{name: all, to: [hook]}}]\n",
        sink.url()
    ));
    let Some(disk) = SmallDisk::mount(&site.path("data")) else {
        return left_out("this user may not mount a small file system");
    };
    let ballast = disk.0.join("ballast");
    fs::write(&ballast, vec![7; 18 << 20]).expect("the ballast fits");
    let mut server = site.start();
    let storm = Storm::begin(4);
    storm.aim(server.address());
    wait::until("the disk is full and senders get 503", || match storm.refused().get(&503) {
        Some(_) => Ok(()),
        None => Err(format!("{} acknowledged", storm.acknowledged())),
    });
    assert!(storm.acknowledged() > 0);
    let refused = storm.end();
    assert_eq!(refused.refused.keys().copied().collect::<Vec<_>>(), [503], "{refused:?}");
    let seconds: u64 = refused.retry_after.as_deref().and_then(|text| text.parse().ok()).expect("a Retry-After");
    assert!((1..=60).contains(&seconds), "{seconds}");
    wait::until("/readyz tells it", || match server.get("/readyz") {
        answer if answer.status == 503 && answer.text().contains("no space") => Ok(()),
        answer => Err(format!("{} {}", answer.status, answer.text())),
    });
    fs::remove_file(&ballast).expect("the ballast is there");
    let more = Storm::begin(4);
    more.aim(server.address());
    more.wait_for(200);
    let accepted = more.end();

    let acknowledged: HashSet<String> = refused.acknowledged.into_iter().chain(accepted.acknowledged).collect();
    let everything_is_there = |server: &balefire_tests::server::Server| {
        let history: HashSet<String> = server.all_ids().into_iter().collect();
        let missing: Vec<_> = acknowledged.difference(&history).take(5).collect();
        assert!(missing.is_empty(), "acknowledged, but not in the history: {missing:?} and maybe more");
    };
    everything_is_there(&server);
    wait::until("everything acknowledged is delivered", || {
        let delivered = deliveries::count(&sink);
        let missing = acknowledged.difference(&delivered.incidents).count();
        if missing == 0 { Ok(()) } else { Err(format!("{missing} of {} are missing", acknowledged.len())) }
    });
    server.kill();
    let server = site.start();
    everything_is_there(&server);
    drop(server);
    drop(disk);
}
