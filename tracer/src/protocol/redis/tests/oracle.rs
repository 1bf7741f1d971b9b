//! The reader of replies against an independent one: the same messages, with the same ends.
//!
//! Not compared: streamed strings and aggregates, which the other one does not put together.

use proptest::prelude::*;
use redis_protocol::resp2::decode::decode_range as decode2;
use redis_protocol::resp2::types::RangeFrame as Frame2;
use redis_protocol::resp3::decode::complete::decode_range as decode3;
use redis_protocol::resp3::types::RangeFrame as Frame3;

use crate::protocol::redis::command::Outcome;
use crate::protocol::redis::reply::ReplyReader;

/// A value of either protocol version.
#[derive(Debug, Clone)]
enum Value {
    Line(u8, String),
    Bulk(u8, Vec<u8>),
    Aggregate(u8, Vec<Value>),
    Attributed(Vec<Value>, Box<Value>),
}

impl Value {
    fn encode(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Line(kind, text) => {
                bytes.extend_from_slice(format!("{}{text}\r\n", char::from(*kind)).as_bytes())
            }
            Self::Bulk(kind, text) => {
                bytes.extend_from_slice(format!("{}{}\r\n", char::from(*kind), text.len()).as_bytes());
                bytes.extend_from_slice(text);
                bytes.extend_from_slice(b"\r\n");
            }
            Self::Aggregate(kind, values) => aggregate(*kind, values, bytes),
            Self::Attributed(attributes, value) => {
                aggregate(b'|', attributes, bytes);
                value.encode(bytes);
            }
        }
    }
}

/// Maps have an even number of values, of which the header tells the half.
fn aggregate(kind: u8, values: &[Value], bytes: &mut Vec<u8>) {
    let is_map = matches!(kind, b'%' | b'|');
    let values = if is_map { &values[..values.len() / 2 * 2] } else { values };
    let count = if is_map { values.len() / 2 } else { values.len() };
    bytes.extend_from_slice(format!("{}{count}\r\n", char::from(kind)).as_bytes());
    for value in values {
        value.encode(bytes);
    }
}

fn line2() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[a-zA-Z0-9 :*$+-]{0,20}".prop_map(|text| Value::Line(b'+', text)),
        "(ERR|MOVED 1|[a-z]{1,5}) [ -~]{0,20}".prop_map(|text| Value::Line(b'-', text)),
        any::<i64>().prop_map(|number| Value::Line(b':', number.to_string())),
        Just(Value::Line(b'$', "-1".to_owned())),
    ]
}

fn line3() -> impl Strategy<Value = Value> {
    prop_oneof![
        line2().prop_map(|value| match value {
            Value::Line(b'$', _) => Value::Line(b'_', String::new()),
            other => other,
        }),
        "[tf]".prop_map(|text| Value::Line(b'#', text)),
        "-?[0-9]{1,60}".prop_map(|text| Value::Line(b'(', text)),
        prop_oneof![
            Just("inf".to_owned()),
            Just("-inf".to_owned()),
            any::<f32>()
                .prop_filter_map("a number", |number| { number.is_finite().then(|| number.to_string()) })
        ]
        .prop_map(|text| Value::Line(b',', text)),
    ]
}

fn bulk(kinds: &'static [u8]) -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "([*$]1\r\n|[+]OK\r\n|-ERR x\r\n){1,8}".prop_map(String::into_bytes),
    ];
    (0..kinds.len(), text).prop_map(|(kind, mut text)| {
        if kinds[kind] == b'=' {
            text.splice(0..0, *b"txt:");
        }
        Value::Bulk(kinds[kind], text)
    })
}

fn value2() -> impl Strategy<Value = Value> {
    prop_oneof![line2(), bulk(b"$")].prop_recursive(4, 40, 6, |inner| {
        prop::collection::vec(inner, 0..6).prop_map(|values| Value::Aggregate(b'*', values))
    })
}

fn value3() -> impl Strategy<Value = Value> {
    prop_oneof![line3(), bulk(b"$!=")].prop_recursive(4, 40, 6, |inner| {
        let values = prop::collection::vec(inner.clone(), 0..6);
        prop_oneof![
            values.clone().prop_map(|values| Value::Aggregate(b'*', values)),
            values.clone().prop_map(|values| Value::Aggregate(b'>', values)),
            // Keys and members that are not twice there: the other reader puts them into a table.
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|values| Value::Aggregate(b'%', keyed(values))),
            prop::collection::vec(any::<u32>(), 0..4).prop_map(|mut numbers| {
                numbers.dedup();
                Value::Aggregate(
                    b'~',
                    numbers.into_iter().map(|number| Value::Line(b':', number.to_string())).collect(),
                )
            }),
            (values, inner).prop_map(|(values, value)| attributed(values, value)),
        ]
    })
}

/// The other reader knows no attributes of attributes, nor of nothing.
fn attributed(values: Vec<Value>, value: Value) -> Value {
    match value {
        Value::Attributed(..) | Value::Line(b'_', _) => value,
        _ => Value::Attributed(keyed(values), Box::new(value)),
    }
}

fn keyed(values: Vec<Value>) -> Vec<Value> {
    let keyed = |(at, value)| [Value::Line(b':', usize::to_string(&at)), value];
    values.into_iter().enumerate().flat_map(keyed).collect()
}

/// What a message is, and where it ends.
type Told = (&'static str, usize);

fn ours(bytes: &[u8], pieces: usize) -> Option<Told> {
    let mut reader = ReplyReader::new();
    reader.begin(true);
    let mut consumed = 0;
    for piece in bytes.chunks(pieces.max(1)) {
        let mut input = piece;
        let reply = reader.read(&mut input).ok()?;
        consumed += piece.len() - input.len();
        if let Some(reply) = reply {
            let kind = match reply.outcome {
                Outcome::Error(_) => "error",
                Outcome::Nil => "nil",
                _ => "ok",
            };
            return Some((kind, consumed));
        }
    }
    None
}

fn theirs(bytes: &[u8], resp3: bool) -> Option<Told> {
    let kind3 = |frame: &Frame3| match frame {
        Frame3::SimpleError { .. } | Frame3::BlobError { .. } => "error",
        Frame3::Null => "nil",
        _ => "ok",
    };
    let kind2 = |frame: &Frame2| match frame {
        Frame2::Error(_) => "error",
        Frame2::Null => "nil",
        _ => "ok",
    };
    if resp3 {
        decode3(bytes).ok()?.map(|(frame, end)| (kind3(&frame), end))
    } else {
        decode2(bytes).ok()?.map(|(frame, end)| (kind2(&frame), end))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages_end_where_an_independent_reader_ends_them(
        (resp3, value) in prop_oneof![value2().prop_map(|value| (false, value)), value3().prop_map(|value| (true, value))],
        rest in prop::collection::vec(any::<u8>(), 0..20),
        pieces in 1..50_usize,
    ) {
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        let end = bytes.len();
        bytes.extend_from_slice(&rest);
        let expected = theirs(&bytes, resp3);
        prop_assert_eq!(expected.map(|(_, end)| end), Some(end), "{}", bytes.escape_ascii());
        prop_assert_eq!(ours(&bytes, pieces), expected, "{}", bytes.escape_ascii());
    }

    #[test]
    fn what_both_take_ends_in_the_same_place(
        (resp3, value) in prop_oneof![value2().prop_map(|value| (false, value)), value3().prop_map(|value| (true, value))],
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let (Some(ours), Some(theirs)) = (ours(&bytes, usize::MAX), theirs(&bytes, resp3)) {
            prop_assert_eq!(ours.1, theirs.1, "{}", bytes.escape_ascii());
        }
    }
}
