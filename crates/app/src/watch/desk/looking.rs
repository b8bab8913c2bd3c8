//! Lets watchers look, here or by other hands, and takes what they saw to the board.

use super::super::hands::{Done, Work, look};
use super::super::status::Looked;
use super::super::unbegun::Unbegun;
use super::{Desk, Outgoing};
use balefire_watch::{Around, Look, Moment};
use std::time::Duration;

impl Desk {
    /// Lets these look.
    pub(super) fn let_look(
        &mut self,
        due: &[String],
        clock: &dyn Fn() -> Moment,
        around: &dyn Around,
    ) -> Vec<Outgoing> {
        let Some(mut hands) = self.hands.take() else {
            let here = |name: &String| {
                let done = look(self.work(name)?, clock, around);
                self.seen(done)
            };
            return due.iter().filter_map(here).collect();
        };
        let back = hands.returned();
        let mut outgoing: Vec<Outgoing> = back.into_iter().filter_map(|done| self.seen(done)).collect();
        let work = due.iter().filter_map(|name| self.work(name)).collect();
        let (late, rest) = hands.look(work, |done| outgoing.extend(self.seen(done)));
        for work in rest {
            self.put_back(work);
        }
        for name in late {
            tracing::warn!(watcher = name, "its look does not end; the others go on without it");
            let cure =
                "see whether the file system that it looks at answers: a network mount whose server is gone hangs";
            let look = Look::blind("its look does not end: what it looks at does not answer", cure);
            outgoing.extend(self.taken(clock(), &name, look));
        }
        self.hands = Some(hands);
        outgoing
    }

    fn work(&mut self, name: &str) -> Option<Work> {
        let watcher = self.seats.get_mut(name)?.running.as_mut()?.watcher.take()?;
        Some(Work { name: name.to_owned(), watcher })
    }

    /// One that could not look.
    fn put_back(&mut self, Work { name, watcher }: Work) {
        let running = self.seats.get_mut(&name).and_then(|seat| seat.running.as_mut());
        if let Some(running) = running {
            running.watcher.get_or_insert(watcher);
        }
    }

    fn seen(&mut self, done: Done) -> Option<Outgoing> {
        let Done { name, watcher, begin, end, found } = done;
        let seat = self.seats.get_mut(&name)?;
        let running = seat.running.as_mut()?;
        if running.watcher.is_some() {
            // It was away, and another one has taken its place meanwhile.
            return None;
        }
        let round_trip = watcher.round_trip();
        let (look, next) = match found {
            Some(found) => {
                running.watcher = Some(watcher);
                found
            }
            None => {
                tracing::error!(watcher = name, "a look failed by a fault of our own; the watcher begins anew");
                // What it remembers may be what it fell over.
                running.watcher = Some(Unbegun::watcher(&running.watched.plan, None));
                let cure = "a new version of balefire; please report what the log says of it";
                (Look::blind("its look failed by a fault of balefire's own", cure), None)
            }
        };
        running.due = end.boot + next.unwrap_or(running.watched.every).max(Duration::from_millis(10));
        seat.looked = Looked { at: Some(end.wall), took: end.since(begin), round_trip };
        self.taken(end, &name, look)
    }

    /// Takes a look to the board.
    fn taken(&mut self, now: Moment, name: &str, look: Look) -> Option<Outgoing> {
        let before = self.board.standing(name).map(|standing| standing.state);
        let changes = self.board.take(now, name, look);
        let has_changed = !changes.is_empty() || self.board.standing(name).map(|standing| standing.state) != before;
        let outgoing = if has_changed { self.settle(now, name, changes) } else { None };
        self.publish(name);
        outgoing
    }
}
