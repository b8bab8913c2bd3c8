//! A virtual machine with a real kernel, auditd, journald and the binary under test, in which audit can be frozen, killed and
//! filled for real. QEMU without hardware support, so that it runs anywhere and without rights. What happens in it is told as
//! a story: lines with the seconds since its start.

use crate::server::binary;
use crate::wait;
use serde_json::Value;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;
use tempfile::TempDir;

/// How long a scenario may take, on a machine that is busy with other tests.
const SCENARIO_TIME_MAX: Duration = Duration::from_secs(600);

/// The programs of the machine, besides the binary under test.
const PROGRAMS: [&str; 4] = ["sbin/auditd", "sbin/auditctl", "lib/systemd/systemd-journald", "bin/busybox"];

/// One machine at a time: two of them would make each other's times worthless.
static TURN: Mutex<()> = Mutex::new(());

/// What all machines of a run have: the image without the scenario.
static BASE: OnceLock<Option<Base>> = OnceLock::new();

struct Base {
    dir: TempDir,
    kernel: PathBuf,
}

/// Runs a scenario and gives its story; none where the machine is not there, which CI does not take for an answer.
///
/// # Panics
/// Where the machine does not end in time, or ends without a story.
#[must_use]
pub fn tell(scenario: &str) -> Option<Story> {
    let turn = TURN.lock();
    let base = BASE.get_or_init(prepare).as_ref()?;
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let mut image = File::create(dir.path().join("image")).expect("the directory is ours");
    let mut base_image = File::open(base.dir.path().join("image")).expect("it was made before");
    std::io::copy(&mut base_image, &mut image).expect("there is room");
    let mut own = Archive::default();
    own.directory("vm");
    own.file("vm/scenario", &fs::read(vm("scenarios").join(scenario)).expect("there is such a scenario"), 0o644);
    image.write_all(&own.end()).expect("there is room");
    let said = boot(&base.kernel, &dir.path().join("image"), &dir.path().join("console"));
    drop(turn);
    Some(Story::parse(scenario, &said))
}

/// The files of the machine in this repository.
fn vm(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vm").join(name)
}

/// What is missing, or the base image.
fn prepare() -> Option<Base> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/audit-vm");
    let has_qemu = Command::new("qemu-system-x86_64").arg("--version").output().is_ok();
    let printed = Command::new(script).stderr(Stdio::inherit()).output().expect("the script is in the repository");
    if !has_qemu || !printed.status.success() {
        let why = "no virtual machine: qemu-system-x86 is not installed, or its packages cannot be fetched";
        assert!(std::env::var_os("CI").is_none(), "{why}");
        crate::left_out(why);
        return None;
    }
    let root = PathBuf::from(String::from_utf8_lossy(&printed.stdout).trim());
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let image = base_image(&root, dir.path());
    fs::write(dir.path().join("image"), image).expect("there is room");
    Some(Base { dir, kernel: root.join("boot/vmlinuz") })
}

fn base_image(root: &Path, dir: &Path) -> Vec<u8> {
    let mut archive = Archive::default();
    for name in ["bin", "sbin", "usr", "usr/bin", "usr/sbin", "lib", "lib64", "lib/systemd", "etc", "vm", LIBRARIES] {
        archive.directory(name);
    }
    let read = |path: &Path| fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    archive.file("init", &read(&vm("init")), 0o755);
    archive.file("vm/steps", &read(&vm("steps")), 0o644);
    archive.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n", 0o644);
    // Without its symbols a debug build is a fifth of its size.
    let stripped = dir.join("balefire");
    let strip = Command::new("strip").arg("-o").arg(&stripped).arg(binary()).status();
    let program = if strip.is_ok_and(|status| status.success()) { stripped } else { binary() };
    archive.file("usr/bin/balefire", &read(&program), 0o755);
    let mut libraries = libraries(&program, root);
    for name in PROGRAMS {
        archive.file(name, &read(&root.join(name)), 0o755);
        libraries.extend(self::libraries(&root.join(name), root));
    }
    libraries.sort();
    libraries.dedup_by(|a, b| a.file_name() == b.file_name());
    for path in libraries {
        let name = path.file_name().expect("a library has a name").to_string_lossy().into_owned();
        let place = if name.starts_with("ld-linux") { "lib64" } else { LIBRARIES };
        archive.file(&format!("{place}/{name}"), &read(&path), 0o755);
    }
    archive.end()
}

/// Where every program of Debian looks for libraries.
const LIBRARIES: &str = "lib/x86_64-linux-gnu";

/// The libraries that a program needs: from the packages, or else from this machine.
fn libraries(program: &Path, root: &Path) -> Vec<PathBuf> {
    let places = [LIBRARIES, "usr/lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/systemd"];
    let path = places.map(|place| root.join(place).display().to_string()).join(":");
    let listed = Command::new("ldd").arg(program).env("LD_LIBRARY_PATH", path).output().expect("ldd is there");
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(!text.contains("not found"), "{} lacks libraries:\n{text}", program.display());
    text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

/// A machine that is ended with its handle.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself, which is what it should do.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Runs a machine to its end: what came out of its console.
fn boot(kernel: &Path, image: &Path, console: &Path) -> String {
    let output = File::create(console).expect("the directory is ours");
    let mut command = Command::new("qemu-system-x86_64");
    command.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-m", "1024", "-smp", "2", "-nographic"]);
    command.args(["-no-reboot", "-nic", "none", "-append", "console=ttyS0 panic=-1 quiet"]);
    command.arg("-kernel").arg(kernel).arg("-initrd").arg(image);
    command.stdin(Stdio::null()).stdout(output).stderr(Stdio::inherit());
    let mut machine = Machine(command.spawn().expect("qemu-system-x86_64 can be started"));
    wait::within(SCENARIO_TIME_MAX, "the machine has ended", || match machine.0.try_wait() {
        Ok(Some(_)) => Ok(()),
        _ => Err(String::from_utf8_lossy(&fs::read(console).unwrap_or_default()).into_owned()),
    });
    String::from_utf8_lossy(&fs::read(console).expect("the console was written")).replace('\r', "")
}

/// An archive as the kernel unpacks it: cpio, "newc".
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    count: u32,
}

impl Archive {
    fn directory(&mut self, name: &str) {
        self.entry(name, &[], 0o040_755);
    }

    fn file(&mut self, name: &str, content: &[u8], mode: u32) {
        self.entry(name, content, 0o100_000 | mode);
    }

    fn entry(&mut self, name: &str, content: &[u8], mode: u32) {
        self.count += 1;
        let length = content.len();
        let name_length = name.len() + 1;
        let inode = self.count;
        let header = format!(
            "070701{inode:08x}{mode:08x}{:016x}{:08x}{:08x}{length:08x}{:032x}{name_length:08x}{:08x}",
            0, 1, 0, 0, 0
        );
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn end(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", &[], 0);
        self.bytes
    }
}

/// What happened in a machine.
pub struct Story {
    scenario: String,
    lines: Vec<(f64, String, String)>,
    said: String,
}

/// An alert, and when it was delivered.
#[derive(Clone, Debug)]
pub struct Alert {
    /// Seconds since the machine's start.
    pub at: f64,
    /// The incident.
    pub incident: Value,
}

impl Alert {
    /// One of its labels; empty where it has none of this name.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.incident["labels"][name].as_str().unwrap_or_default()
    }

    fn is(&self, watcher: &str, failure: &str, change: &str) -> bool {
        self.label("watcher") == watcher && self.label("failure") == failure && self.label("change") == change
    }
}

impl Story {
    fn parse(scenario: &str, said: &str) -> Story {
        let Some((_, story)) = said.split_once("STORY-BEGINS\n") else { panic!("{scenario}: no story:\n{said}") };
        let (story, _) = story.split_once("STORY-SAYS\n").unwrap_or((story, ""));
        let line = |line: &str| {
            let (at, rest) = line.strip_prefix("@ ")?.split_once(' ')?;
            let (word, text) = rest.split_once(' ').unwrap_or((rest, ""));
            Some((at.parse().ok()?, word.to_owned(), text.to_owned()))
        };
        Story { scenario: scenario.to_owned(), lines: story.lines().filter_map(line).collect(), said: said.to_owned() }
    }

    /// All that came out of the machine.
    #[must_use]
    pub fn said(&self) -> &str {
        &self.said
    }

    fn texts<'a>(&'a self, word: &'a str) -> impl Iterator<Item = (f64, &'a str)> {
        self.lines.iter().filter(move |(_, found, _)| found == word).map(|(at, _, text)| (*at, text.as_str()))
    }

    /// When something was done.
    ///
    /// # Panics
    /// Where it was not.
    #[must_use]
    pub fn mark(&self, name: &str) -> f64 {
        let found = self.texts("MARK").find(|(_, text)| *text == name);
        found.unwrap_or_else(|| panic!("{}: {name} was not done:\n{}", self.scenario, self.said)).0
    }

    /// All alerts.
    ///
    /// # Panics
    /// Where one is no JSON.
    #[must_use]
    pub fn alerts(&self) -> Vec<Alert> {
        let parse = |(at, text): (f64, &str)| {
            let told: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
            Alert { at, incident: told["incident"].clone() }
        };
        self.texts("ALERT").map(parse).collect()
    }

    /// How many seconds after the deed it was told that this watcher's failure began, is over or happened.
    ///
    /// # Panics
    /// Where it was not.
    pub fn told(&self, deed: &str, (watcher, failure, change): (&str, &str, &str)) -> f64 {
        let begin = self.mark(deed);
        let alerts = self.alerts();
        let found = alerts.iter().find(|alert| alert.at >= begin && alert.is(watcher, failure, change));
        let found = found.unwrap_or_else(|| {
            panic!("{}: {watcher} did not tell of {failure} ({change}):\n{}", self.scenario, self.said)
        });
        crate::note(&format!("\n| {} | {watcher} | {failure} | {change} | {:.1} s |", self.scenario, found.at - begin));
        found.at - begin
    }

    /// An alert of this failure with this change.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn alert(&self, watcher: &str, failure: &str, change: &str) -> Alert {
        let found = self.alerts().into_iter().find(|alert| alert.is(watcher, failure, change));
        found.unwrap_or_else(|| panic!("{}: no {failure} of {watcher}:\n{}", self.scenario, self.said))
    }

    /// The failures of the watched that were told and that nothing else explains, by name, each once. The machine's disks are
    /// in its memory, which Balefire says of its own.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        let alerts = self.alerts();
        let own = alerts.iter().filter(|alert| {
            let is_begin = alert.label("change") != "over";
            is_begin && alert.label("parent").is_empty() && !alert.label("watcher").starts_with("self.")
        });
        let mut failures: Vec<String> = own.map(|alert| alert.label("failure").to_owned()).collect();
        failures.sort();
        failures.dedup();
        failures
    }

    /// What the kernel said of this when it was asked then.
    ///
    /// # Panics
    /// Where it was not asked.
    #[must_use]
    pub fn kernel(&self, moment: &str, field: &str) -> u64 {
        let said = self.texts("KERNEL").find_map(|(_, text)| text.strip_prefix(moment));
        let words: Vec<&str> = said.unwrap_or_default().split_whitespace().collect();
        let value = words.windows(2).find(|pair| pair[0] == field).and_then(|pair| pair[1].parse().ok());
        value.unwrap_or_else(|| panic!("{}: the kernel did not say {field} ({moment}):\n{}", self.scenario, self.said))
    }

    /// A number that the scenario told under this word.
    ///
    /// # Panics
    /// Where it did not.
    #[must_use]
    pub fn number(&self, word: &str) -> u64 {
        let found = self.texts(word).find_map(|(_, text)| text.parse().ok());
        found.unwrap_or_else(|| panic!("{}: no {word}:\n{}", self.scenario, self.said))
    }

    /// Nothing that was waited for failed to come.
    ///
    /// # Panics
    /// Where something did.
    pub fn is_whole(&self) {
        let missed: Vec<&str> = self.texts("MISSED").map(|(_, text)| text).collect();
        assert!(missed.is_empty(), "{}: missed {missed:?}:\n{}", self.scenario, self.said);
    }
}
