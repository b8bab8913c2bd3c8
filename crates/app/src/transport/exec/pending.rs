//! The messages that a program has and has not answered yet. An answer names its message by its id alone, and a message
//! that was given up is sent again under the same id.

use balefire_channels::Reply;
use std::collections::HashMap;
use tokio::sync::oneshot;

/// What waits for answers, by id.
#[derive(Default)]
pub(super) struct Pending(HashMap<String, Waiting>);

struct Waiting {
    /// How often the program has been asked.
    asked: u32,
    /// Who asked last. Whoever asked before has given up.
    answer: Option<oneshot::Sender<Reply>>,
}

impl Pending {
    pub(super) fn add(&mut self, id: &str, answer: oneshot::Sender<Reply>) {
        let waiting = self.0.entry(id.to_owned()).or_insert(Waiting { asked: 0, answer: None });
        waiting.asked += 1;
        waiting.answer = Some(answer);
    }

    /// Hands an answer on; false where nothing of this id was asked.
    pub(super) fn answer(&mut self, id: &str, reply: Reply) -> bool {
        let Some(waiting) = self.0.get_mut(id) else { return false };
        waiting.asked -= 1;
        if let Some(answer) = waiting.answer.take()
            && answer.send(reply).is_err()
        {
            tracing::debug!(delivery = id, "an answer came after its attempt was given up");
        }
        if waiting.asked == 0 {
            self.0.remove(id);
        }
        true
    }

    /// Everything that is not answered gets this reply.
    pub(super) fn fail(&mut self, reply: &Reply) {
        for (id, waiting) in self.0.drain() {
            if let Some(answer) = waiting.answer
                && answer.send(reply.clone()).is_err()
            {
                tracing::debug!(delivery = id, "a program failed after the attempt was given up");
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Reply {
        Reply::Written(text.to_owned())
    }

    #[test]
    fn a_message_that_was_asked_twice_may_be_answered_twice_and_no_more() {
        let mut pending = Pending::default();
        let (first, given_up) = oneshot::channel();
        let (second, mut waits) = oneshot::channel();
        pending.add("a", first);
        drop(given_up);
        pending.add("a", second);
        assert!(pending.answer("a", reply("late")));
        assert_eq!(waits.try_recv(), Ok(reply("late")));
        assert!(pending.answer("a", reply("again")));
        assert!(pending.is_empty() && !pending.answer("a", reply("too often")));
        assert!(!pending.answer("b", reply("never asked")));
    }
}
