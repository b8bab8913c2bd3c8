//! The tail against real files: what is appended, rotated and truncated, and what came of it. Rounds are driven by
//! hand, so that no test waits for a clock.

use super::decide::{QUIET_ROUNDS, QUIET_ROUNDS_BEFORE_EMPTY};
use super::*;
use balefire_intake::FieldError;
use proptest::prelude::*;
use std::fs;
use std::future::{Ready, ready};
use std::io::Write;
use std::sync::Mutex;
use tempfile::TempDir;

/// A reception that remembers what it took, in place of the journal.
#[derive(Default)]
struct Taken {
    lines: Vec<String>,
    known: Option<(String, u64)>,
    too_long: usize,
    /// How many more times to decline.
    declines: usize,
    declined: usize,
}

type Take = Box<dyn Fn(Handed) -> Ready<Result<Receipt, Declined>>>;

/// A directory, a tail in it, and who takes its lines.
struct Scene {
    folder: TempDir,
    taken: Arc<Mutex<Taken>>,
    from: TailFrom,
    follower: Follower<Take>,
    stop: watch::Sender<bool>,
}

/// Refuses lines that say `refuse`, and takes everything else.
fn receive(taken: &Mutex<Taken>, handed: &Handed) -> Result<Receipt, Declined> {
    let mut taken = taken.lock().unwrap();
    if taken.declines > 0 {
        taken.declines -= 1;
        taken.declined += 1;
        return Err(Declined::Overload { why: "test".to_owned(), retry_after: Duration::ZERO });
    }
    let mut receipt = Receipt::default();
    for (index, line) in str::from_utf8(&handed.body).unwrap().lines().enumerate() {
        if line == "refuse" {
            let error = FieldError {
                field: "title".to_owned(),
                place: None,
                found: "nothing".to_owned(),
                allowed: "text".to_owned(),
                hint: None,
            };
            let (errors, line) = (vec![error], Some(index + 1));
            receipt.results.push(ItemResult::Refused { index, line, errors, errors_left_out: 0 });
        } else {
            taken.lines.push(line.to_owned());
        }
    }
    taken.too_long += handed.too_long;
    taken.known = Some((handed.read.file.clone(), handed.read.offset));
    Ok(receipt)
}

impl Scene {
    fn new(from: TailFrom) -> Scene {
        let folder = TempDir::new().unwrap();
        let taken = Arc::new(Mutex::new(Taken::default()));
        let stop = watch::Sender::new(false);
        let follower = Scene::follower(&folder, &taken, from, &stop);
        Scene { folder, taken, from, follower, stop }
    }

    fn follower(
        folder: &TempDir,
        taken: &Arc<Mutex<Taken>>,
        from: TailFrom,
        stop: &watch::Sender<bool>,
    ) -> Follower<Take> {
        let path = folder.path().join("a.log");
        let known = taken.lock().unwrap().known.clone();
        let taken = taken.clone();
        let take: Take = Box::new(move |handed| ready(receive(&taken, &handed)));
        let tail = Tail { name: "app".to_owned(), path, from, known, bytes_max: 64 };
        Follower::new(tail, take, stop.subscribe())
    }

    /// Forgets everything that is not durable.
    fn restart(&mut self) {
        self.follower = Scene::follower(&self.folder, &self.taken, self.from, &self.stop);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    async fn rounds(&mut self, count: u32) {
        for _ in 0..count {
            self.follower.round().await;
        }
    }

    /// Goes round until nothing comes any more, and checks all that was taken.
    async fn expect(&mut self, lines: &[&str]) {
        self.rounds(QUIET_ROUNDS + 10).await;
        assert_eq!(self.taken.lock().unwrap().lines, lines);
    }
}

#[tokio::test]
async fn each_line_is_taken_once_also_after_a_restart() {
    let mut scene = Scene::new(TailFrom::Start);
    scene.append("a.log", "1\n2\n");
    scene.expect(&["1", "2"]).await;
    scene.append("a.log", "3\n");
    scene.restart();
    scene.expect(&["1", "2", "3"]).await;
    scene.restart();
    scene.expect(&["1", "2", "3"]).await;
}

#[tokio::test]
async fn half_a_line_waits_for_its_end() {
    let mut scene = Scene::new(TailFrom::Start);
    scene.append("a.log", "1\nha");
    scene.expect(&["1"]).await;
    scene.append("a.log", "lf");
    scene.restart();
    scene.expect(&["1"]).await;
    scene.append("a.log", "\n");
    scene.expect(&["1", "half"]).await;
}

#[tokio::test]
async fn a_rotated_file_is_read_to_its_end_before_the_new_one() {
    let mut scene = Scene::new(TailFrom::Start);
    scene.append("a.log", "1\n");
    scene.expect(&["1"]).await;
    scene.append("a.log", "2\n");
    scene.rename("a.log", "a.log.1");
    scene.append("a.log", "5\n");
    scene.rounds(3).await;
    scene.append("a.log.1", "3\n4 without LF");
    scene.expect(&["1", "2", "3", "4 without LF", "5"]).await;
    scene.append("a.log", "6\n");
    scene.expect(&["1", "2", "3", "4 without LF", "5", "6"]).await;
}

#[tokio::test]
async fn the_rotated_file_stays_while_the_new_one_is_missing_or_empty() {
    let mut scene = Scene::new(TailFrom::Start);
    scene.append("a.log", "1\n");
    scene.expect(&["1"]).await;
    scene.rename("a.log", "a.log.1");
    scene.rounds(QUIET_ROUNDS * 2).await;
    scene.append("a.log.1", "2\n");
    scene.expect(&["1", "2"]).await;
    scene.append("a.log", "");
    scene.rounds(QUIET_ROUNDS * 2).await;
    scene.append("a.log.1", "3\n");
    scene.expect(&["1", "2", "3"]).await;
    scene.rounds(QUIET_ROUNDS_BEFORE_EMPTY + 5).await;
    scene.append("a.log", "4\n");
    scene.expect(&["1", "2", "3", "4"]).await;
}

#[tokio::test]
async fn rotations_during_an_absence_lose_nothing() {
    for [older, newer] in [["a.log.2", "a.log.1"], ["a.log-20260101", "a.log-20260102"]] {
        let mut scene = Scene::new(TailFrom::Start);
        scene.append("a.log", "1\n");
        scene.expect(&["1"]).await;
        scene.append("a.log", "2\n");
        scene.rename("a.log", older);
        scene.append("a.log", "3\n");
        scene.rename("a.log", newer);
        scene.append("a.log", "4\n");
        scene.append("a.log.bak", "never\n");
        scene.restart();
        scene.rounds(QUIET_ROUNDS * 2).await;
        scene.expect(&["1", "2", "3", "4"]).await;
    }
}

#[tokio::test]
async fn a_known_file_that_is_gone_does_not_keep_us_from_the_new_one() {
    let mut scene = Scene::new(TailFrom::End);
    scene.append("a.log", "1\n");
    scene.rounds(2).await;
    scene.rename("a.log", "kept open elsewhere");
    scene.append("a.log.1.gz", "compressed");
    scene.append("a.log", "2\n3\n");
    let kept = fs::File::open(scene.path("kept open elsewhere")).unwrap();
    fs::remove_file(scene.path("kept open elsewhere")).unwrap();
    scene.restart();
    scene.expect(&["2", "3"]).await;
    drop(kept);
}

#[tokio::test]
async fn a_truncated_file_is_read_from_its_beginning() {
    let mut scene = Scene::new(TailFrom::Start);
    scene.append("a.log", "1\n2\n");
    scene.expect(&["1", "2"]).await;
    fs::write(scene.path("a.log"), "3\n").unwrap();
    scene.expect(&["1", "2", "3"]).await;
    fs::write(scene.path("a.log"), "another beginning\n5\n").unwrap();
    scene.expect(&["1", "2", "3", "another beginning", "5"]).await;
    fs::write(scene.path("a.log"), "6\n").unwrap();
    scene.restart();
    scene.expect(&["1", "2", "3", "another beginning", "5", "6"]).await;
}

#[tokio::test]
async fn half_a_line_that_is_taken_back_is_no_truncation() {
    let mut scene = Scene::new(TailFrom::Start);
    scene.append("a.log", "1\nhalf");
    scene.expect(&["1"]).await;
    fs::File::options().write(true).open(scene.path("a.log")).unwrap().set_len(3).unwrap();
    scene.rounds(3).await;
    scene.append("a.log", "ole\nhalf");
    scene.expect(&["1", "hole"]).await;
    fs::write(scene.path("a.log"), "1\nhole\nanother\n").unwrap();
    scene.expect(&["1", "hole", "another"]).await;
}

#[tokio::test]
async fn the_end_counts_only_for_what_was_there_at_first_sight() {
    let mut scene = Scene::new(TailFrom::End);
    scene.append("a.log", "old\nhalf");
    scene.rounds(1).await;
    assert_eq!(scene.taken.lock().unwrap().known.as_ref().map(|(_, offset)| *offset), Some(4));
    scene.append("a.log", " a line\n");
    scene.restart();
    scene.expect(&["half a line"]).await;

    let mut scene = Scene::new(TailFrom::End);
    scene.rounds(2).await;
    scene.append("a.log", "new\n");
    scene.expect(&["new"]).await;
}

#[tokio::test]
async fn declined_lines_are_tried_again_and_come_once() {
    let mut scene = Scene::new(TailFrom::Start);
    scene.append("a.log", "1\n2\n");
    scene.taken.lock().unwrap().declines = 3;
    scene.expect(&["1", "2"]).await;
    assert_eq!(scene.taken.lock().unwrap().declined, 3);
}

#[tokio::test]
async fn refused_and_over_long_lines_do_not_stop_the_others() {
    let mut scene = Scene::new(TailFrom::Start);
    let long = "x".repeat(100);
    scene.append("a.log", &format!("1\nrefuse\n{long}\n2\n{long}\n"));
    scene.expect(&["1", "2"]).await;
    assert_eq!(scene.taken.lock().unwrap().too_long, 2);
    let end = fs::metadata(scene.path("a.log")).unwrap().len();
    assert_eq!(scene.taken.lock().unwrap().known.as_ref().map(|(_, offset)| *offset), Some(end));
}

#[tokio::test]
async fn what_is_no_file_is_complained_of_once_and_awaited() {
    let mut scene = Scene::new(TailFrom::Start);
    fs::create_dir(scene.path("a.log")).unwrap();
    scene.rounds(3).await;
    assert_eq!(scene.follower.trouble.as_deref(), Some("found a directory; allowed: a plain file"));
    fs::remove_dir(scene.path("a.log")).unwrap();
    scene.append("a.log", "1\n");
    scene.expect(&["1"]).await;
    assert_eq!(scene.follower.trouble, None);
}

#[tokio::test]
async fn the_order_to_stop_is_heard_while_lines_are_declined() {
    let mut scene = Scene::new(TailFrom::Start);
    scene.append("a.log", "1\n");
    scene.taken.lock().unwrap().declines = usize::MAX;
    scene.stop.send_replace(true);
    scene.rounds(1).await;
    assert_eq!(scene.follower.round().await, Progress::Stopped);
    scene.follower.run().await;
    assert!(scene.taken.lock().unwrap().lines.is_empty());
}

/// What happens around a tail.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// So many bytes of the endless text are written; lines may be half.
    Write(usize),
    /// The files move on by one; the writer finishes its line in the old file.
    Rotate,
    Round(u32),
    Restart,
    Decline(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (1_usize..60).prop_map(Event::Write),
        1 => Just(Event::Rotate),
        3 => (1_u32..15).prop_map(Event::Round),
        1 => Just(Event::Restart),
        1 => (1_usize..4).prop_map(Event::Decline),
    ];
    prop::collection::vec(event, 1..40)
}

/// Numbered lines, written piece by piece.
struct Writer {
    text: String,
    written: usize,
    files: usize,
}

impl Writer {
    fn write(&mut self, scene: &Scene, name: &str, bytes: usize) {
        scene.append(name, &self.text[self.written..self.written + bytes]);
        self.written += bytes;
    }

    fn finish_line(&mut self, scene: &Scene, name: &str) {
        if !self.text[..self.written].ends_with('\n') && self.written > 0 {
            let rest = self.text[self.written..].find('\n').unwrap() + 1;
            self.write(scene, name, rest);
        }
    }

    fn rotate(&mut self, scene: &Scene) {
        if !scene.path("a.log").exists() {
            return;
        }
        for number in (1..=self.files).rev() {
            scene.rename(&format!("a.log.{number}"), &format!("a.log.{}", number + 1));
        }
        scene.rename("a.log", "a.log.1");
        self.files += 1;
        self.finish_line(scene, "a.log.1");
        scene.append("a.log", "");
    }
}

async fn play(events: &[Event]) -> Result<(), TestCaseError> {
    let mut scene = Scene::new(TailFrom::Start);
    let text = (0..2_000).map(|number| format!("line {number}\n")).collect();
    let mut writer = Writer { text, written: 0, files: 0 };
    scene.append("a.log", "");
    scene.rounds(1).await;
    for event in events {
        match event {
            Event::Write(bytes) => writer.write(&scene, "a.log", *bytes),
            Event::Rotate => writer.rotate(&scene),
            Event::Round(count) => scene.rounds(*count).await,
            Event::Restart => scene.restart(),
            Event::Decline(count) => scene.taken.lock().unwrap().declines += count,
        }
    }
    writer.finish_line(&scene, "a.log");
    let files = u32::try_from(writer.files).unwrap();
    // The newest may be empty, which is waited for longest.
    scene.rounds((files + 2) * (QUIET_ROUNDS + 5) + QUIET_ROUNDS_BEFORE_EMPTY).await;
    let taken = scene.taken.lock().unwrap();
    let expected: Vec<&str> = writer.text[..writer.written].lines().collect();
    prop_assert_eq!(&taken.lines, &expected);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_each_line_comes_once_and_in_order(events in events()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(play(&events))?;
    }
}
