//! From a message's bytes to text, with nothing in between.

use prost::{Message, Name};
use prost_types::Timestamp;
use serde::Serialize;

use super::shape::{Field, Kind, Shape, Words, shape};
use super::time::write_rfc3339;
use super::wire::{Fields, Raw, number};

/// A message on one line.
pub fn line<M: Message + Name>(message: &M) -> String {
    let mut bytes = Vec::new();
    let mut writer = Writer::default();
    put(message, &mut bytes, &mut writer);
    writer.text()
}

/// A list of these on one line.
pub fn lines<M: Message + Name>(messages: &[M]) -> String {
    // One after another in the same memory.
    let mut bytes = Vec::new();
    let mut writer = Writer::default();
    writer.out.push(b'[');
    for (index, message) in messages.iter().enumerate() {
        if index > 0 {
            writer.out.push(b',');
        }
        put(message, &mut bytes, &mut writer);
    }
    writer.out.push(b']');
    writer.text()
}

/// The text of a message's bytes, by its name in the proto: `neap.v1.Process`.
pub fn text_of(name: &str, bytes: &[u8]) -> String {
    let mut writer = Writer::default();
    writer.message(shape(&format!(".{name}")), bytes);
    writer.text()
}

fn put<M: Message + Name>(message: &M, bytes: &mut Vec<u8>, writer: &mut Writer) {
    bytes.clear();
    // Memory takes all bytes.
    let _ = message.encode(bytes);
    writer.message(shape(&format!(".{}", M::full_name())), bytes);
}

/// The fields of the messages that are being written, those of the outermost first.
type Open<'a> = Vec<(u64, Raw<'a>)>;

/// What is written so far.
#[derive(Default)]
struct Writer {
    out: Vec<u8>,
}

impl Writer {
    fn text(self) -> String {
        // What is written is text: names of the proto, numbers, and what went through serde_json.
        String::from_utf8(self.out).unwrap_or_default()
    }

    fn message(&mut self, shape: Option<&'static Shape>, bytes: &[u8]) {
        match shape {
            Some(shape) => self.fields(shape, bytes, &mut Vec::new()),
            None => self.null(),
        }
    }

    fn fields<'a>(&mut self, shape: &'static Shape, bytes: &'a [u8], open: &mut Open<'a>) {
        if shape.is_time {
            return self.time(bytes);
        }
        let from = open.len();
        open.extend(Fields(bytes));
        // They come in order, unless somebody else encoded them; a list's values in the list's.
        if !open[from..].is_sorted_by_key(|(number, _)| *number) {
            open[from..].sort_by_key(|(number, _)| *number);
        }
        let until = open.len();
        let mut next = b'{';
        for field in shape.fields() {
            self.out.push(next);
            next = b',';
            self.out.extend_from_slice(field.key.as_bytes());
            let first = from + open[from..until].partition_point(|(number, _)| *number < field.number);
            let count = open[first..until].iter().take_while(|(number, _)| *number == field.number).count();
            self.field(field, first..first + count, open);
        }
        if next == b'{' {
            self.out.push(next);
        }
        self.out.push(b'}');
        open.truncate(from);
    }

    fn field<'a>(&mut self, field: &Field, values: std::ops::Range<usize>, open: &mut Open<'a>) {
        match field.kind {
            Kind::Message(entry) if field.repeated && entry.is_entry => self.map(entry, values, open),
            _ if field.repeated => self.list(field.kind, values, open),
            _ => {
                let last = values.last().map(|last| open[last].1);
                self.one(field, last, open);
            }
        }
    }

    /// What is there, or what it means that nothing is.
    fn one<'a>(&mut self, field: &Field, value: Option<Raw<'a>>, open: &mut Open<'a>) {
        match (value, field.kind) {
            (Some(raw), kind) => self.value(kind, raw, open),
            _ if field.optional => self.null(),
            (None, Kind::Text) => self.value(field.kind, Raw::Bytes(&[]), open),
            (None, kind) => self.value(kind, Raw::Number(0), open),
        }
    }

    fn list<'a>(&mut self, kind: Kind, values: std::ops::Range<usize>, open: &mut Open<'a>) {
        self.out.push(b'[');
        let empty = self.out.len();
        for index in values {
            match (open[index].1, kind.packed()) {
                // Numbers stand behind each other without a key of their own.
                (Raw::Bytes(mut bytes), Some(width)) => {
                    while let Some(value) = number(width, &mut bytes) {
                        self.separate(empty);
                        self.value(kind, Raw::Number(value), open);
                    }
                }
                (raw, _) => {
                    self.separate(empty);
                    self.value(kind, raw, open);
                }
            }
        }
        self.out.push(b']');
    }

    /// By their keys' order.
    fn map<'a>(&mut self, entry: &'static Shape, values: std::ops::Range<usize>, open: &mut Open<'a>) {
        let last = |bytes: &'a [u8], wanted| Fields(bytes).filter(|(number, _)| *number == wanted).last();
        let mut entries: Vec<(&[u8], Option<Raw<'a>>)> = Vec::with_capacity(values.len());
        for (_, raw) in &open[values] {
            let bytes = raw.bytes();
            let key = last(bytes, 1).map_or(&[][..], |(_, key)| key.bytes());
            entries.push((key, last(bytes, 2).map(|(_, value)| value)));
        }
        entries.sort_by_key(|(key, _)| *key);
        self.out.push(b'{');
        let empty = self.out.len();
        for (key, value) in entries {
            self.separate(empty);
            self.string(key);
            self.out.push(b':');
            match entry.field(2) {
                Some(field) => self.one(field, value, open),
                None => self.null(),
            }
        }
        self.out.push(b'}');
    }

    fn value<'a>(&mut self, kind: Kind, raw: Raw<'a>, open: &mut Open<'a>) {
        match (kind, raw) {
            (Kind::Message(shape), Raw::Bytes(bytes)) => self.fields(shape, bytes, open),
            (Kind::Text, Raw::Bytes(bytes)) => self.string(bytes),
            (Kind::Bool, Raw::Number(number)) => self.put(&(number != 0)),
            (Kind::Word(words), Raw::Number(number)) => self.word(words, number),
            (Kind::Double, Raw::Number(number)) => self.put(&f64::from_bits(number)),
            (Kind::Float, Raw::Number(number)) => self.put(&f64::from(f32::from_bits(low(number)))),
            (Kind::Signed(super::wire::Width::Four), Raw::Number(number)) => self.put(&low(number).cast_signed()),
            (Kind::Signed(_), Raw::Number(number)) => self.put(&number.cast_signed()),
            (Kind::Zigzag, Raw::Number(number)) => {
                self.put(&((number >> 1).cast_signed() ^ -(number & 1).cast_signed()));
            }
            (Kind::Unsigned(_), Raw::Number(number)) => self.put(&number),
            // A message of another description: there is none.
            _ => self.null(),
        }
    }

    fn word(&mut self, words: &Words, number: u64) {
        match words.word(number) {
            Some(word) => self.out.extend_from_slice(word.as_bytes()),
            None => self.put(&low(number).cast_signed()),
        }
    }

    fn time(&mut self, bytes: &[u8]) {
        let mut time = Timestamp::default();
        for (number, raw) in Fields(bytes) {
            match number {
                1 => time.seconds = raw.number().cast_signed(),
                2 => time.nanos = low(raw.number()).cast_signed(),
                _ => {}
            }
        }
        self.out.push(b'"');
        let millis = time.seconds.saturating_mul(1_000).saturating_add(i64::from(time.nanos) / 1_000_000);
        write_rfc3339(millis, &mut self.out);
        self.out.push(b'"');
    }

    fn string(&mut self, bytes: &[u8]) {
        self.put(&*String::from_utf8_lossy(bytes));
    }

    /// Neither text nor numbers can fail to be JSON, and memory takes all bytes.
    fn put<T: Serialize + ?Sized>(&mut self, value: &T) {
        let _ = serde_json::to_writer(&mut self.out, value);
    }

    fn null(&mut self) {
        self.out.extend_from_slice(b"null");
    }

    /// A comma before all but the first.
    fn separate(&mut self, empty: usize) {
        if self.out.len() > empty {
            self.out.push(b',');
        }
    }
}

fn low(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::super::value::Json;
    use super::{line, lines};
    use crate::rpc::proto::v1;

    #[test]
    fn the_whole_text_of_a_message_is_this() {
        let worker = concat!(
            r#"{"id":"5e0c1a52-7d3c-4a3e-9f61-2f9d5c1f0a02","name":"worker","pid":null,"state":"backoff","#,
            r#""reason":"exit code 3; waits 33s","health":"unknown","run_count":7,"exit_code":3,"signal":null,"#,
            r#""core_dumped":false,"run":null,"restarts":6,"wanted":false,"holds":[],"#,
            r#""retry_at":"2001-09-09T01:47:10.000Z","status_text":null,"created_at":null,"started_at":null,"#,
            r#""ended_at":"2001-09-09T01:46:37.000Z","since":"2001-09-09T01:46:37.000Z","runtime":false,"#,
            r#""overridden":false,"description":null,"command":[],"groups":[]"#,
        );
        let ago = |seconds: i64| Some(Timestamp { seconds: 1_000_000_000 - seconds, nanos: 0 });
        let text = line(&v1::Process {
            id: "5e0c1a52-7d3c-4a3e-9f61-2f9d5c1f0a02".into(),
            name: "worker".into(),
            state: v1::State::Backoff.into(),
            reason: Some("exit code 3; waits 33s".into()),
            run_count: 7,
            exit_code: Some(3),
            restarts: 6,
            retry_at: ago(-30),
            ended_at: ago(3),
            since: ago(3),
            ..v1::Process::default()
        });
        // Fields that come to the proto come to the end.
        assert!(text.starts_with(worker) && text.ends_with('}'), "{text}");
        let odd = v1::Process {
            name: "\"\\\n\u{1}\u{7f}\u{2028}é".into(),
            state: 77,
            exit_code: Some(i32::MIN),
            ended_at: Some(Timestamp { seconds: -1, nanos: 999_999_999 }),
            since: Some(Timestamp { seconds: 300_000_000_000, nanos: 0 }),
            ..v1::Process::default()
        };
        let json = Json::of(&odd);
        assert_eq!(json.get("name").line(), "\"\\\"\\\\\\n\\u0001\u{7f}\u{2028}é\"");
        assert_eq!(json.get("state"), &Json::Int(77));
        assert_eq!(json.get("exit_code").line(), i32::MIN.to_string());
        assert_eq!(json.get("ended_at").line(), r#""1969-12-31T23:59:59.999Z""#);
        assert_eq!(json.get("since").line(), r#""11476-08-15T05:20:00.000Z""#);
        assert_eq!(json.line(), line(&odd));
    }

    #[test]
    fn fields_have_their_names_and_what_is_absent_is_null() {
        let process = v1::Process {
            id: "0f".into(),
            name: "web".into(),
            pid: Some(7),
            state: v1::State::Running.into(),
            health: v1::Health::Healthy.into(),
            exit_code: Some(-1),
            since: Some(Timestamp { seconds: 1_795_427_563, nanos: 120_000_000 }),
            holds: vec![v1::Hold { kind: "order".into(), name: "db".into() }],
            command: vec!["a".into(), "b".into()],
            ..v1::Process::default()
        };
        let json = Json::of(&process);
        for (name, expected) in [
            ("name", r#""web""#),
            ("pid", "7"),
            ("state", r#""running""#),
            ("reason", "null"),
            ("health", r#""healthy""#),
            ("run_count", "0"),
            ("exit_code", "-1"),
            ("core_dumped", "false"),
            ("since", r#""2026-11-23T09:52:43.120Z""#),
            ("ended_at", "null"),
            ("holds", r#"[{"kind":"order","name":"db"}]"#),
            ("command", r#"["a","b"]"#),
        ] {
            assert_eq!(json.get(name).line(), expected, "{name}");
        }
        assert!(json.line().starts_with(r#"{"id":"0f","name":"web","pid":7,"state":"running","#), "{}", json.line());
        assert_eq!(line(&process), json.line());
        assert_eq!(lines(&[process.clone(), process]), format!("[{0},{0}]", json.line()));
        assert_eq!(lines::<v1::Process>(&[]), "[]");
        assert_eq!(Json::of(&v1::Process::default()).get("state").line(), "null");
    }

    #[test]
    fn maps_packed_numbers_choices_and_bytes_are_read() {
        let spec = v1::Spec {
            env: [("B".into(), "2".into()), ("A".into(), "1".into())].into(),
            limits: Some(v1::Limits { cpu: Some(1.5), oom_score_adj: Some(-7), ..v1::Limits::default() }),
            start_timeout: Some(-1),
            ..v1::Spec::default()
        };
        let json = Json::of(&spec);
        assert_eq!(json.get("env").line(), r#"{"A":"1","B":"2"}"#);
        assert_eq!(json.get("limits").get("cpu").line(), "1.5");
        assert_eq!(json.get("limits").get("oom_score_adj").line(), "-7");
        assert_eq!(json.get("start_timeout").line(), "-1");
        assert_eq!(json.get("auto_start").line(), "null");
        let event = v1::Event { pids: vec![1, 300], sequence: u64::MAX, ..v1::Event::default() };
        assert_eq!(Json::of(&event).get("pids").line(), "[1,300]");
        assert_eq!(Json::of(&event).get("sequence").line(), u64::MAX.to_string());
        let line = v1::LogLine { text: b"a\xff".to_vec(), ..v1::LogLine::default() };
        assert_eq!(Json::of(&line).get("text"), &Json::Text("a\u{fffd}".into()));
        let probe = v1::Probe { target: Some(v1::probe::Target::Fn(3)) };
        assert_eq!(Json::of(&probe).line(), r#"{"http":null,"tcp":null,"exec":null,"fn":3}"#);
    }
}
