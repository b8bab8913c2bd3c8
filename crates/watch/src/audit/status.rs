//! The netlink messages of the kernel's audit: what is asked, and what comes back. Layouts of `linux/netlink.h` and
//! `linux/audit.h`, in the byte order of the machine.

/// `AUDIT_GET`: how audit stands.
pub(crate) const GET: u16 = 1000;

/// `AUDIT_LIST_RULES`: the rules that are loaded, each an answer of this type, and [`DONE`] behind the last.
pub(crate) const LIST_RULES: u16 = 1013;

/// `NLMSG_DONE`.
pub(crate) const DONE: u16 = 3;

/// `AUDIT_TRUSTED_APP`: a record of a program that may write such.
pub(crate) const TRUSTED_APP: u16 = 1121;

/// `NLMSG_ERROR`, which with the number 0 is an acknowledgement.
const ERROR: u16 = 2;

/// `NLM_F_REQUEST | NLM_F_ACK`.
const ASK: u16 = 1 | 4;

/// Type, flags, sequence and port behind the length.
pub(crate) const HEADER: usize = 16;

/// How audit stands in the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// 0 off, 1 on, 2 on and locked until the next start of the machine.
    pub(crate) enabled: u32,
    /// What the kernel does when it must lose a record: 0 nothing, 1 a line in its log, 2 it stops the machine.
    pub(crate) failure: u32,
    /// Whom the kernel sends to. Goes stale: a dead process stays until the next record.
    pub(crate) pid: u32,
    /// Records a second that are let through; 0 is all.
    pub(crate) rate_limit: u32,
    /// How many records may wait.
    pub(crate) backlog_limit: u32,
    /// Records lost since the start of the machine, or since somebody reset it.
    pub(crate) lost: u32,
    /// How many wait.
    pub(crate) backlog: u32,
    /// For how long processes were held up because of it, in jiffies; younger kernels only.
    pub(crate) waited: Option<u32>,
}

/// A message from the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// Answers a request: 0, or the number of an error.
    Ack(i32),
    /// Anything else: its type and content.
    Other(u16, &'a [u8]),
}

/// A request.
pub(crate) fn request(kind: u16, sequence: u32, content: &[u8]) -> Vec<u8> {
    let length = HEADER + content.len();
    let mut message = Vec::with_capacity(length + 3);
    message.extend_from_slice(&u32::try_from(length).expect("a request is short").to_ne_bytes());
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(&ASK.to_ne_bytes());
    message.extend_from_slice(&sequence.to_ne_bytes());
    message.extend_from_slice(&[0; 4]);
    message.extend_from_slice(content);
    message.resize(length.next_multiple_of(4), 0);
    message
}

/// What a datagram holds; none where it is too short for what it says.
pub(crate) fn message(datagram: &[u8]) -> Option<Message<'_>> {
    let kind = u16::from_ne_bytes(datagram.get(4..6)?.try_into().ok()?);
    let content = datagram.get(HEADER..)?;
    if kind != ERROR {
        return Some(Message::Other(kind, content));
    }
    let number = i32::from_ne_bytes(content.get(..4)?.try_into().ok()?);
    Some(Message::Ack(number.saturating_neg()))
}

/// The content of an answer to [`GET`]. Older kernels send less.
pub(crate) fn status(content: &[u8]) -> Option<Status> {
    let word = |place: usize| {
        let bytes = content.get(place * 4..place * 4 + 4)?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    };
    Some(Status {
        enabled: word(1)?,
        failure: word(2)?,
        pid: word(3)?,
        rate_limit: word(4)?,
        backlog_limit: word(5)?,
        lost: word(6)?,
        backlog: word(7)?,
        waited: word(10),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_status_of_any_length_that_kernels_send_is_read() {
        let words: [u32; 11] = [0, 1, 1, 105, 0, 8192, 600, 3, 0x7f, 60_000, 42];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let full = status(&bytes).unwrap();
        assert_eq!((full.enabled, full.pid, full.lost, full.backlog, full.waited), (1, 105, 600, 3, Some(42)));
        assert_eq!(status(&bytes[..32]).unwrap(), Status { waited: None, ..full });
        assert_eq!(status(&bytes[..28]), None);
    }

    #[test]
    fn an_acknowledgement_gives_the_number_of_the_error() {
        let mut datagram = request(ERROR, 1, &[]);
        datagram.extend_from_slice(&(-111_i32).to_ne_bytes());
        assert_eq!(message(&datagram), Some(Message::Ack(111)));
        assert_eq!(message(&datagram[..17]), None);
        assert_eq!(message(&request(GET, 1, b"abcd")), Some(Message::Other(GET, b"abcd")));
    }

    #[test]
    fn a_request_is_padded_to_words_and_says_its_true_length() {
        let message = request(TRUSTED_APP, 7, b"op=x\0");
        assert_eq!((message.len(), u32::from_ne_bytes(message[..4].try_into().unwrap())), (24, 21));
    }

    proptest! {
        #[test]
        fn any_datagram_is_a_message_or_none(datagram in prop::collection::vec(any::<u8>(), 0..100)) {
            message(&datagram);
            status(&datagram);
        }
    }
}
