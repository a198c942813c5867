//! The strict reader of section bytes with the value limits, by tables.
//!
//! What `ledger/events/wire.py` (bytes), `schema.py` (fields) and `checks.py` (limits) say, as a yes or no. The rule that
//! must not break: a yes here is a yes there, with the same event id. A no decides nothing: the caller asks the Python
//! reader, which also words the refusal.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str;

const EVENT_MAX_BYTES: usize = 32 * 1024;
const PERSONAL_MAX_BYTES: usize = 60 * 1024;
const ORIGINAL_MAX_BYTES: usize = 32 * 1024;
const TIME_MAX: u64 = 253_402_300_799_999_999;
const VALUE_MAX_BYTES: usize = 2048;
const RESERVED_ID_PREFIX: &[u8] = b"ledger-";
const RESERVED_ACTION_PREFIX: &[u8] = b"ledger.";

/// What a field holds, and which values of it are good. Defaults are refused by their limits.
#[derive(Clone, Copy)]
enum Kind {
    /// An enum from `least` to `most`, below 128.
    Enum { least: u8, most: u8 },
    /// A fixed64 from 1 to `most`.
    Unsigned { most: u64 },
    /// Any sfixed64.
    Signed,
    /// A double that is finite.
    Double,
    /// UTF-8 of `least` to `most` bytes.
    Text { least: usize, most: usize },
    /// Text of a grammar, which is ASCII.
    Grammar(fn(&[u8]) -> bool),
    /// `least` to `most` bytes.
    Bytes { least: usize, most: usize },
    /// The event id, which is the answer.
    EventId,
    /// An action, which clients may not reserve.
    Action,
    /// A key of the metadata: ascending within a section, unique over both.
    MetadataKey,
    /// A message of its own.
    Message(&'static Message),
}

struct Field {
    kind: Kind,
    repeated: Option<Repeated>,
}

/// Repeated fields, counted over both sections.
#[derive(Clone, Copy)]
enum Repeated {
    Targets,
    Roles,
    Approvers,
    FieldChanges,
    Metadata,
    TargetNames,
}

/// Most elements of each repeated field, in the order of `Repeated`.
const MOST: [usize; 6] = [16, 16, 8, 64, 64, 16];

struct Message {
    /// By field number, from 1.
    fields: &'static [Field],
    /// Whether these fields, a bit each from field number 1 on, make up the message.
    is_complete: fn(u32) -> bool,
}

const fn one(kind: Kind) -> Field {
    Field { kind, repeated: None }
}

const fn many(kind: Kind, repeated: Repeated) -> Field {
    Field {
        kind,
        repeated: Some(repeated),
    }
}

const fn text(most: usize) -> Kind {
    Kind::Text { least: 1, most }
}

const fn choice(most: u8) -> Kind {
    Kind::Enum { least: 1, most }
}

const fn exactly(size: usize) -> Kind {
    Kind::Bytes {
        least: size,
        most: size,
    }
}

const ANY_NUMBER: Kind = Kind::Unsigned { most: u64::MAX };
const TRUTH: Kind = choice(2);
const SCHEMA: Kind = choice(1);

fn anything(_: u32) -> bool {
    true
}

static VALUE: Message = Message {
    fields: &[
        one(Kind::Text {
            least: 0,
            most: VALUE_MAX_BYTES,
        }),
        one(Kind::Signed),
        one(Kind::Double),
        one(TRUTH),
    ],
    is_complete: |seen| seen.count_ones() == 1,
};

static METADATA_ENTRY: Message = Message {
    fields: &[one(Kind::MetadataKey), one(Kind::Message(&VALUE))],
    is_complete: |seen| seen == 0b11,
};

static FIELD_CHANGE: Message = Message {
    fields: &[one(text(256)), one(Kind::Message(&VALUE)), one(Kind::Message(&VALUE))],
    is_complete: |seen| seen & 1 != 0,
};

static ACTOR: Message = Message {
    fields: &[
        one(choice(6)),
        one(text(128)),
        one(text(128)),
        many(text(128), Repeated::Roles),
    ],
    is_complete: anything,
};

static TARGET: Message = Message {
    fields: &[one(Kind::Grammar(is_target_type)), one(text(256))],
    is_complete: |seen| seen != 0,
};

static AUTHENTICATION: Message = Message {
    fields: &[
        one(choice(12)),
        one(TRUTH),
        one(text(128)),
        one(text(128)),
        one(text(128)),
    ],
    is_complete: anything,
};

static REQUEST: Message = Message {
    fields: &[
        one(text(128)),
        one(exactly(16)),
        one(exactly(8)),
        one(text(256)),
        one(text(256)),
    ],
    is_complete: anything,
};

static CHANGE: Message = Message {
    fields: &[
        one(text(512)),
        one(Kind::Grammar(is_event_id)),
        many(text(128), Repeated::Approvers),
        one(text(128)),
        one(Kind::Grammar(is_commit)),
        one(text(128)),
        one(text(128)),
        one(TRUTH),
    ],
    is_complete: anything,
};

static DATA_CONTEXT: Message = Message {
    fields: &[one(choice(5)), one(ANY_NUMBER), one(ANY_NUMBER), one(text(512))],
    is_complete: anything,
};

static SOURCE: Message = Message {
    fields: &[
        one(text(128)),
        one(text(128)),
        one(text(128)),
        one(text(128)),
        one(exactly(16)),
        one(ANY_NUMBER),
    ],
    is_complete: anything,
};

static EVENT: Message = Message {
    fields: &[
        one(SCHEMA),
        one(Kind::EventId),
        one(Kind::Action),
        one(Kind::Unsigned { most: TIME_MAX }),
        one(Kind::Message(&ACTOR)),
        many(Kind::Message(&TARGET), Repeated::Targets),
        one(choice(5)),
        one(text(64)),
        one(Kind::Message(&AUTHENTICATION)),
        one(Kind::Message(&REQUEST)),
        one(Kind::Message(&CHANGE)),
        many(Kind::Message(&FIELD_CHANGE), Repeated::FieldChanges),
        one(Kind::Message(&DATA_CONTEXT)),
        many(Kind::Message(&METADATA_ENTRY), Repeated::Metadata),
        one(Kind::Message(&SOURCE)),
        one(text(128)),
        one(text(128)),
    ],
    // Schema, id, action and time.
    is_complete: |seen| seen & 0b1111 == 0b1111,
};

static ORIGINAL: Message = Message {
    fields: &[
        one(text(128)),
        one(Kind::Bytes {
            least: 1,
            most: ORIGINAL_MAX_BYTES,
        }),
        one(exactly(32)),
        one(ANY_NUMBER),
    ],
    // The content, or its SHA-256 and size.
    is_complete: |seen| seen & 0b1110 == 0b0010 || seen & 0b1110 == 0b1100,
};

static PERSONAL_DATA: Message = Message {
    fields: &[
        one(SCHEMA),
        one(text(254)),
        one(text(256)),
        one(Kind::Grammar(is_ip_address)),
        one(Kind::Grammar(is_ip_address)),
        one(text(1024)),
        one(text(1024)),
        one(text(512)),
        many(Kind::Text { least: 0, most: 256 }, Repeated::TargetNames),
        many(Kind::Message(&FIELD_CHANGE), Repeated::FieldChanges),
        many(Kind::Message(&METADATA_ENTRY), Repeated::Metadata),
        one(Kind::Message(&ORIGINAL)),
    ],
    is_complete: |seen| seen & 1 != 0,
};

/// Returns the event id of sections that are surely good, or `None`.
///
/// `personal` is empty for none.
pub fn event_id_of<'a>(event: &'a [u8], personal: &'a [u8]) -> Option<&'a [u8]> {
    if event.len() > EVENT_MAX_BYTES || personal.len() > PERSONAL_MAX_BYTES {
        return None;
    }
    let mut pair = Pair::default();
    pair.read(&EVENT, event)?;
    let of_event = pair.keys.len();
    if !personal.is_empty() {
        pair.read(&PERSONAL_DATA, personal)?;
    }
    pair.finish(of_event)?;
    Some(pair.event_id)
}

/// What is known of both sections of an event while they are read.
#[derive(Default)]
struct Pair<'a> {
    event_id: &'a [u8],
    counts: [usize; MOST.len()],
    keys: Vec<&'a [u8]>,
    /// Where the keys of the section that is being read begin.
    own_keys: usize,
}

impl<'a> Pair<'a> {
    /// Reads one section.
    fn read(&mut self, message: &Message, section: &'a [u8]) -> Option<()> {
        self.own_keys = self.keys.len();
        self.message(message, section)
    }

    /// Decides what concerns both sections; `of_event` keys are the event section's.
    fn finish(&self, of_event: usize) -> Option<()> {
        let targets = self.counts[Repeated::Targets as usize];
        let names = self.counts[Repeated::TargetNames as usize];
        let few = self.counts.iter().zip(MOST).all(|(count, most)| *count <= most);
        let (event_keys, personal_keys) = self.keys.split_at(of_event);
        // Both are ascending.
        let unique = personal_keys.iter().all(|key| event_keys.binary_search(key).is_err());
        (few && unique && (names == 0 || names == targets)).then_some(())
    }

    fn message(&mut self, message: &Message, mut data: &'a [u8]) -> Option<()> {
        let mut seen = 0_u32;
        while !data.is_empty() {
            let tag = take_varint(&mut data)?;
            let number = usize::try_from(tag >> 3).ok()?.checked_sub(1)?;
            let field = message.fields.get(number)?;
            match field.repeated {
                Some(repeated) => self.counts[repeated as usize] += 1,
                None if seen & 1 << number != 0 => return None,
                None => {}
            }
            seen |= 1 << number;
            self.field(field.kind, tag & 7, &mut data)?;
        }
        (message.is_complete)(seen).then_some(())
    }

    fn field(&mut self, kind: Kind, wire_type: u64, data: &mut &'a [u8]) -> Option<()> {
        let good = match kind {
            Kind::Enum { least, most } => {
                let number = (wire_type == 0).then(|| take_varint(data))??;
                (u64::from(least)..=u64::from(most)).contains(&number)
            }
            Kind::Unsigned { most } => (1..=most).contains(&u64::from_le_bytes(take_fixed(wire_type, data)?)),
            Kind::Signed => take_fixed(wire_type, data).is_some(),
            Kind::Double => f64::from_le_bytes(take_fixed(wire_type, data)?).is_finite(),
            Kind::Message(message) => {
                let content = take_content(wire_type, data)?;
                return self.message(message, content);
            }
            Kind::Text { least, most } => {
                let content = take_content(wire_type, data)?;
                (least..=most).contains(&content.len()) && str::from_utf8(content).is_ok()
            }
            Kind::Bytes { least, most } => (least..=most).contains(&take_content(wire_type, data)?.len()),
            Kind::Grammar(is_good) => is_good(take_content(wire_type, data)?),
            Kind::EventId => {
                self.event_id = take_content(wire_type, data)?;
                is_event_id(self.event_id) && !self.event_id.starts_with(RESERVED_ID_PREFIX)
            }
            Kind::Action => {
                let action = take_content(wire_type, data)?;
                is_action(action) && !action.starts_with(RESERVED_ACTION_PREFIX)
            }
            Kind::MetadataKey => {
                let key = take_content(wire_type, data)?;
                let ascends = self.keys[self.own_keys..].last().is_none_or(|last| *last < key);
                self.keys.push(key);
                ascends && is_metadata_key(key)
            }
        };
        good.then_some(())
    }
}

/// Takes a varint in its shortest form, of at most ten bytes.
fn take_varint(data: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for (position, byte) in data.iter().take(10).enumerate() {
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if position == 9 && bits > 1 {
            return None;
        }
        value |= bits << (7 * position);
        if byte & 0x80 == 0 {
            if *byte == 0 && position > 0 {
                return None;
            }
            *data = &data[position + 1..];
            return Some(value);
        }
    }
    None
}

fn take_fixed(wire_type: u64, data: &mut &[u8]) -> Option<[u8; 8]> {
    let (fixed, rest) = data.split_first_chunk::<8>()?;
    *data = rest;
    (wire_type == 1).then_some(*fixed)
}

fn take_content<'a>(wire_type: u64, data: &mut &'a [u8]) -> Option<&'a [u8]> {
    if wire_type != 2 {
        return None;
    }
    let length = usize::try_from(take_varint(data)?).ok()?;
    let (content, rest) = data.split_at_checked(length)?;
    *data = rest;
    Some(content)
}

fn is_event_id(text: &[u8]) -> bool {
    (1..=64).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic)
}

fn is_metadata_key(text: &[u8]) -> bool {
    text.len() <= 64
        && text.first().is_some_and(u8::is_ascii_alphabetic)
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(byte))
}

fn is_target_type(text: &[u8]) -> bool {
    text.len() <= 64
        && text.first().is_some_and(u8::is_ascii_lowercase)
        && text.iter().copied().all(|byte| is_small(byte) || byte == b'_')
}

fn is_commit(text: &[u8]) -> bool {
    (7..=64).contains(&text.len()) && text.iter().all(u8::is_ascii_hexdigit)
}

/// Two to four segments of words joined by single underscores; the first word of a segment begins with a letter.
fn is_action(text: &[u8]) -> bool {
    let is_segment = |segment: &[u8]| {
        segment.first().is_some_and(u8::is_ascii_lowercase)
            && segment
                .split(|byte| *byte == b'_')
                .all(|word| !word.is_empty() && word.iter().copied().all(is_small))
    };
    text.len() <= 128
        && (2..=4).contains(&text.split(|byte| *byte == b'.').count())
        && text.split(|byte| *byte == b'.').all(is_segment)
}

fn is_small(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// An address as its usual text; a zone, which means something on one machine only, is not part of the grammar.
fn is_ip_address(text: &[u8]) -> bool {
    str::from_utf8(text).is_ok_and(|text| text.parse::<Ipv4Addr>().is_ok() || text.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &[u8] = b"\x08\x01\x12\x03e-1\x1a\x03a.b\x21\x01\0\0\0\0\0\0\0";

    fn with(more: &[u8]) -> Vec<u8> {
        [LEAST, more].concat()
    }

    #[test]
    fn the_least_event_is_good_and_any_part_of_it_is_not() {
        assert_eq!(event_id_of(LEAST, b""), Some(&b"e-1"[..]));
        for end in 0..LEAST.len() {
            assert_eq!(event_id_of(&LEAST[..end], b""), None, "{end}");
        }
    }

    #[test]
    fn bytes_have_one_form() {
        for bad in [
            &b"\x3a\x00"[..],       // wrong wire type for the outcome
            b"\x38\x00",            // a default written out
            b"\x38\x81\x00",        // an overlong varint
            b"\x38\x06",            // an enum beyond the schema
            b"\x08\x01",            // a singular field twice
            b"\xa0\x06\x01",        // an unknown field
            b"\x42\x01\xff",        // no UTF-8
            b"\x42\x05abc",         // cut off
            b"\x2a\x05\x12\x04abc", // cut off within a message
            b"\x32\x00",            // a target with neither type nor id
            b"\x72\x05\x0a\x01k\x12\x00",
            b"\x72\x09\x0a\x01k\x12\x04\x0a\0\x20\x01", // two branches
        ] {
            assert_eq!(event_id_of(&with(bad), b""), None, "{bad:?}");
        }
        for good in [&b"\x38\x05"[..], b"\x2a\x00", b"\x42\x02\xc3\xa9", b"\x32\x03\x0a\x01u"] {
            assert!(event_id_of(&with(good), b"").is_some(), "{good:?}");
        }
    }

    #[test]
    fn metadata_keys_ascend_in_a_section_and_are_unique_over_both() {
        let entry = |tag: u8, key: u8| vec![tag, 9, 0x0a, 1, key, 0x12, 4, 0x0a, 2, b'v', b'v'];
        let event = |keys: &[u8]| with(&keys.iter().flat_map(|key| entry(0x72, *key)).collect::<Vec<_>>());
        let personal = |keys: &[u8]| {
            [
                &b"\x08\x01"[..],
                &keys.iter().flat_map(|key| entry(0x5a, *key)).collect::<Vec<_>>(),
            ]
            .concat()
        };
        assert!(event_id_of(&event(b"ac"), &personal(b"bd")).is_some());
        assert!(event_id_of(&event(b"ca"), b"").is_none());
        assert!(event_id_of(&event(b"aa"), b"").is_none());
        assert!(event_id_of(&event(b"ac"), &personal(b"db")).is_none());
        assert!(event_id_of(&event(b"ac"), &personal(b"ac")).is_none());
    }

    #[test]
    fn grammars_take_what_the_patterns_take() {
        for (text, good) in [
            ("a.b", true),
            ("user.role.updated", true),
            ("a.b.c.d", true),
            ("a_1.b_2c", true),
            ("a", false),
            ("a.b.c.d.e", false),
            ("a..b", false),
            ("a_.b", false),
            ("a.1", false),
            ("A.b", false),
            ("a.b\n", false),
            ("", false),
        ] {
            assert_eq!(is_action(text.as_bytes()), good, "{text:?}");
        }
        assert!(is_ip_address(b"203.0.113.42") && is_ip_address(b"2001:db8::1"));
        for bad in ["203.0.113.042", "1.2.3", "fe80::1%eth0", "1:2", "", " ::1"] {
            assert!(!is_ip_address(bad.as_bytes()), "{bad}");
        }
        assert!(is_commit(b"0123abC") && !is_commit(b"0123ab") && !is_commit(b"0123abg"));
    }

    #[test]
    fn varints_of_ten_bytes_hold_64_bits() {
        let mut most: &[u8] = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        assert_eq!(take_varint(&mut most), Some(u64::MAX));
        let mut more: &[u8] = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02";
        assert_eq!(take_varint(&mut more), None);
        let mut endless: &[u8] = &[0x80; 12];
        assert_eq!(take_varint(&mut endless), None);
    }
}
