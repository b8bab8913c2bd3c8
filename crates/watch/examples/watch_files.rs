//! What it costs to watch many files: how long a look at each takes, idle and while each file grows, and how much memory all of
//! it needs. `cargo run --release -p balefire-watch --example watch_files -- 1000`
#![expect(clippy::print_stdout, reason = "numbers for whoever runs it")]

use balefire_model::settings::{Key, Node, Place, Reader, Session, Value};
use balefire_watch::{KINDS, Moment, Nobody, Sight, Watcher};
use jiff::Timestamp;
use rustix::time::{ClockId, Timespec, clock_gettime};
use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// As many looks are taken at each file, idle and growing.
const LOOKS: u32 = 100;

fn duration(time: Timespec) -> Duration {
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn now() -> Moment {
    let wall = duration(clock_gettime(ClockId::Realtime));
    let wall = i64::try_from(wall.as_secs()).ok().and_then(|wall| Timestamp::from_second(wall).ok());
    Moment { boot: duration(clock_gettime(ClockId::Boottime)), wall: wall.unwrap_or_default() }
}

fn begin(paths: &[String]) -> Result<Vec<Box<dyn Watcher>>, Box<dyn Error>> {
    let node = |value| Node { place: Place::default(), value };
    let key = |name: &str| Key { name: name.to_owned(), place: Place::default() };
    let file = |path: &String| {
        let path = node(Value::Scalar { text: path.clone(), quoted: true });
        node(Value::Map(vec![(key("path"), path)]))
    };
    let section = node(Value::Map(vec![(key("file"), node(Value::List(paths.iter().map(file).collect())))]));
    let load = |_: &str| Err("there are no secrets".to_owned());
    let session = Session::new(&load);
    let kind = KINDS.iter().find(|kind| kind.key == "file").ok_or("the kind is there")?;
    Ok((kind.read)(&Reader::new(&session, &section, "watch")).iter().map(|watched| watched.plan.begin(None)).collect())
}

/// The processor's time for one look at all of them.
fn look(watchers: &mut [Box<dyn Watcher>]) -> Result<Duration, Box<dyn Error>> {
    let before = duration(clock_gettime(ClockId::ProcessCPUTime));
    for watcher in watchers {
        if let Sight::Failing(failures) = watcher.look(now(), &Nobody).sight {
            return Err(failures[0].summary.clone().into());
        }
    }
    Ok(duration(clock_gettime(ClockId::ProcessCPUTime)) - before)
}

fn resident_kib() -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("the kernel says it")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn grow(path: &Path) -> Result<(), Box<dyn Error>> {
    Ok(OpenOptions::new().append(true).open(path)?.write_all(b"Nov 22 20:15:18 host sshd[1]: session opened\n")?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let count: usize = std::env::args().nth(1).map_or(Ok(1000), |text| text.parse())?;
    let directory = std::env::temp_dir().join(format!("balefire-watch-files-{}", std::process::id()));
    fs::create_dir(&directory)?;
    let paths: Vec<String> =
        (0..count).map(|number| directory.join(format!("{number}.log")).display().to_string()).collect();
    let text = "Nov 22 20:15:18 host sshd[1]: session opened\n".repeat(1000);
    for path in &paths {
        fs::write(path, &text)?;
    }
    let before = resident_kib()?;
    let mut watchers = begin(&paths)?;
    let first = look(&mut watchers)?;
    let (mut idle, mut growing) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..LOOKS {
        idle += look(&mut watchers)?;
        for path in &paths {
            grow(Path::new(path))?;
        }
        growing += look(&mut watchers)?;
    }
    let memory = resident_kib()?.saturating_sub(before);
    let each = |time: Duration| time.as_secs_f64() * 1e6 / count as f64 / f64::from(LOOKS);
    println!("{count} files of {} bytes; processor time of a look at one file:", text.len());
    println!(
        "  the first {:.1} us, idle {:.1} us, grown {:.1} us",
        each(first) * f64::from(LOOKS),
        each(idle),
        each(growing)
    );
    // A file is looked at every two seconds.
    let share = |time: Duration| time.as_secs_f64() / f64::from(LOOKS) / 2.0 * 100.0;
    println!("  of one processor, all of them: idle {:.2} %, all growing {:.2} %", share(idle), share(growing));
    println!("  memory: {memory} KiB");
    fs::remove_dir_all(&directory)?;
    Ok(())
}
