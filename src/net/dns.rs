//! Messages of DNS as far as service discovery on a local network needs them (RFC 1035, RFC 6762, RFC 6763).
//!
//! Pure: bytes in, values out. Names are written as people write them, with dots between labels and `\.` for a dot inside
//! of one. Deliberately absent: compression of what is written, and every kind of record that is not listed.
//!
//! Invariants: reading never fails by panic; a pointer may only point backwards; at most [`RECORDS`] records are read.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Records read of one message; a household has a few gateways.
pub const RECORDS: usize = 128;
/// Bytes of a name, as the standard says.
const NAME: usize = 255;
const INTERNET: u16 = 1;
/// In a question: answer to me alone. In a record: forget what you knew of this name.
const TOP: u16 = 0x8000;
const ANSWER: u16 = 0x8400;

/// Kinds of records, by their numbers.
pub const A: u16 = 1;
pub const PTR: u16 = 12;
pub const TXT: u16 = 16;
pub const AAAA: u16 = 28;
pub const SRV: u16 = 33;
pub const ANY: u16 = 255;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub name: String,
    pub kind: u16,
    /// The answer is wanted by the one who asks alone.
    pub unicast: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Ptr(String),
    Srv { port: u16, target: String },
    Txt(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub name: String,
    /// Seconds; 0 says that it is gone.
    pub ttl: u32,
    pub data: Data,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    pub id: u16,
    pub answer: bool,
    pub questions: Vec<Question>,
    /// Of all three sections.
    pub records: Vec<Record>,
}

impl Message {
    /// `None` for what is no message, or is cut off.
    pub fn read(bytes: &[u8]) -> Option<Message> {
        let mut from = Reader { bytes, at: 0 };
        let id = from.u16()?;
        let flags = from.u16()?;
        let (questions, answers) = (from.u16()?, from.u16()?);
        let records = usize::from(answers) + usize::from(from.u16()?) + usize::from(from.u16()?);
        let mut message = Message { id, answer: flags & TOP != 0, ..Message::default() };
        for _ in 0..usize::from(questions).min(RECORDS) {
            let (name, kind, class) = (from.name()?, from.u16()?, from.u16()?);
            message.questions.push(Question { name, kind, unicast: class & TOP != 0 });
        }
        for _ in 0..records.min(RECORDS) {
            let name = from.name()?;
            let (kind, _class, ttl) = (from.u16()?, from.u16()?, from.u32()?);
            let end = usize::from(from.u16()?) + from.at;
            let data = from.data(kind, end)?;
            from.at = end;
            message.records.extend(data.map(|data| Record { name, ttl, data }));
        }
        Some(message)
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        let flags = if self.answer { ANSWER } else { 0 };
        for number in [self.id, flags, count(self.questions.len()), count(self.records.len()), 0, 0] {
            out.extend(number.to_be_bytes());
        }
        for question in &self.questions {
            name(&mut out, &question.name);
            out.extend(question.kind.to_be_bytes());
            out.extend((INTERNET | if question.unicast { TOP } else { 0 }).to_be_bytes());
        }
        for record in &self.records {
            record.write(&mut out);
        }
        out
    }
}

impl Record {
    pub fn kind(&self) -> u16 {
        match self.data {
            Data::A(_) => A,
            Data::Aaaa(_) => AAAA,
            Data::Ptr(_) => PTR,
            Data::Srv { .. } => SRV,
            Data::Txt(_) => TXT,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        name(out, &self.name);
        out.extend(self.kind().to_be_bytes());
        // Many may say PTR of one name; everything else is ours alone.
        let class = if matches!(self.data, Data::Ptr(_)) { INTERNET } else { INTERNET | TOP };
        out.extend(class.to_be_bytes());
        out.extend(self.ttl.to_be_bytes());
        let mut data = Vec::new();
        match &self.data {
            Data::A(ip) => data.extend(ip.octets()),
            Data::Aaaa(ip) => data.extend(ip.octets()),
            Data::Ptr(target) => name(&mut data, target),
            Data::Srv { port, target } => {
                data.extend([0; 4]);
                data.extend(port.to_be_bytes());
                name(&mut data, target);
            }
            Data::Txt(texts) => {
                for text in texts {
                    label(&mut data, text.as_bytes(), 255);
                }
                if texts.is_empty() {
                    data.push(0);
                }
            }
        }
        out.extend(count(data.len()).to_be_bytes());
        out.extend(data);
    }
}

/// Names are the same whatever the case.
pub fn same(a: &str, b: &str) -> bool {
    a.trim_end_matches('.').eq_ignore_ascii_case(b.trim_end_matches('.'))
}

/// One label as it stands in a name.
pub fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('.', "\\.")
}

/// The first label of a name, as people read it.
pub fn first_label(name: &str) -> String {
    labels(name).into_iter().next().unwrap_or_default()
}

fn labels(name: &str) -> Vec<String> {
    let (mut all, mut own, mut letters) = (Vec::new(), String::new(), name.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => own.extend(letters.next()),
            '.' => all.push(std::mem::take(&mut own)),
            letter => own.push(letter),
        }
    }
    all.push(own);
    all.retain(|label| !label.is_empty());
    all
}

fn count(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

fn name(out: &mut Vec<u8>, name: &str) {
    for part in labels(name) {
        label(out, part.as_bytes(), 63);
    }
    out.push(0);
}

fn label(out: &mut Vec<u8>, bytes: &[u8], most: usize) {
    let bytes = &bytes[..bytes.len().min(most)];
    out.push(bytes.len() as u8);
    out.extend(bytes);
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from(self.u16()?) << 16 | u32::from(self.u16()?))
    }

    fn name(&mut self) -> Option<String> {
        let (mut name, mut back) = (String::new(), None);
        loop {
            let length = self.u8()?;
            match length {
                0 => break,
                1..=63 => {
                    let label = String::from_utf8_lossy(self.take(usize::from(length))?);
                    if !name.is_empty() {
                        name.push('.');
                    }
                    name.push_str(&escaped(&label));
                    if name.len() > 4 * NAME {
                        return None;
                    }
                }
                192.. => {
                    let here = self.at - 1;
                    let target = usize::from(length & 63) << 8 | usize::from(self.u8()?);
                    back.get_or_insert(self.at);
                    // Backwards only, so that it ends.
                    if target >= here {
                        return None;
                    }
                    self.at = target;
                }
                _ => return None,
            }
        }
        self.at = back.unwrap_or(self.at);
        Some(name)
    }

    /// `Some(None)` for a kind nobody here wants.
    fn data(&mut self, kind: u16, end: usize) -> Option<Option<Data>> {
        self.bytes.get(self.at..end)?;
        Some(Some(match kind {
            A => Data::A(Ipv4Addr::from(<[u8; 4]>::try_from(self.take(4)?).ok()?)),
            AAAA => Data::Aaaa(Ipv6Addr::from(<[u8; 16]>::try_from(self.take(16)?).ok()?)),
            PTR => Data::Ptr(self.name()?),
            SRV => {
                self.take(4)?;
                Data::Srv { port: self.u16()?, target: self.name()? }
            }
            TXT => {
                let mut texts = Vec::new();
                while self.at < end {
                    let length = usize::from(self.u8()?);
                    texts.push(String::from_utf8_lossy(self.take(length)?).into_owned());
                }
                texts.retain(|text| !text.is_empty());
                Data::Txt(texts)
            }
            _ => return Some(None),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        let record = |name: &str, data| Record { name: name.to_owned(), ttl: 120, data };
        let instance = "a\\.b (OpenClaw)._openclaw-gw._tcp.local";
        Message {
            id: 7,
            answer: true,
            questions: vec![Question { name: "_openclaw-gw._tcp.local".to_owned(), kind: PTR, unicast: true }],
            records: vec![
                record("_openclaw-gw._tcp.local", Data::Ptr(instance.to_owned())),
                record(instance, Data::Srv { port: 18789, target: "box.local".to_owned() }),
                record(instance, Data::Txt(vec!["role=gateway".to_owned()])),
                record("box.local", Data::A(Ipv4Addr::new(192, 168, 1, 2))),
                record("box.local", Data::Aaaa(Ipv6Addr::LOCALHOST)),
            ],
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        assert_eq!(Message::read(&message().bytes()), Some(message()));
        assert_eq!(first_label(&message().records[1].name), "a.b (OpenClaw)");
        assert!(same("Box.local.", "box.LOCAL"));
    }

    #[test]
    fn a_compressed_name_is_followed_backwards_and_never_round() {
        let mut bytes = Message { questions: message().questions, ..Message::default() }.bytes();
        bytes[7] = 1;
        bytes.extend([0xc0, 12, 0, 12, 0, 1, 0, 0, 0, 9, 0, 4, 1, b'x', 0xc0, 12]);
        let read = Message::read(&bytes).expect("legal");
        assert_eq!(read.records[0].name, "_openclaw-gw._tcp.local");
        assert_eq!(read.records[0].data, Data::Ptr("x._openclaw-gw._tcp.local".to_owned()));
        let own = bytes.len() - 2;
        bytes[own + 1] = own as u8;
        assert_eq!(Message::read(&bytes), None);
    }

    #[test]
    fn no_prefix_and_no_mutation_makes_it_panic() {
        let bytes = message().bytes();
        for end in 0..bytes.len() {
            assert_eq!(Message::read(&bytes[..end]), None);
        }
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            let mut bytes = bytes.clone();
            for _ in 0..3 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let at = state as usize % bytes.len();
                bytes[at] = (state >> 32) as u8;
            }
            // Whatever it says, it says it.
            let _ = Message::read(&bytes);
        }
    }
}
