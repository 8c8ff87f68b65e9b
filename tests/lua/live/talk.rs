//! A session of a test.

use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use neap::lua::{Candidates, Item, Session, SessionRequest, Trouble, Values};

use crate::live::Live;
use crate::support::DEADLINE;

/// A session, and what it said that nobody asked about yet.
pub struct Talk {
    pub session: Session,
    items: Receiver<Item>,
    next: u64,
    pub printed: String,
}

impl Talk {
    pub fn with(live: &Live, request: SessionRequest) -> Talk {
        let generation = &live.evaluated.as_ref().expect("a configuration").generation;
        let (session, mut said) = Session::open(generation, request);
        let (sender, items) = sync_channel(0);
        std::thread::spawn(move || {
            while let Some(item) = said.next_blocking() {
                let _nobody_looks = sender.send(item);
            }
        });
        Talk { session, items, next: 1, printed: String::new() }
    }

    pub fn new(live: &Live) -> Talk {
        Talk::with(live, SessionRequest { caller: "a test".into(), ..SessionRequest::default() })
    }

    pub fn begin(&mut self, text: &str, timeout: Option<Duration>) -> u64 {
        let id = self.next;
        self.next += 1;
        self.session.evaluate(id, text, timeout).expect("the line is taken");
        id
    }

    /// The next thing that it says.
    pub fn item(&mut self) -> Item {
        self.items.recv_timeout(DEADLINE).expect("the session says nothing")
    }

    pub fn answer(&mut self, id: u64) -> Result<Values, Trouble> {
        loop {
            match self.item() {
                Item::Print { text, .. } => self.printed.push_str(&text),
                Item::Answer(answer) if answer.id == id => return answer.result,
                other => panic!("unexpected: {other:?}"),
            }
        }
    }

    pub fn evaluate(&mut self, text: &str) -> Result<Values, Trouble> {
        let id = self.begin(text, None);
        self.answer(id)
    }

    /// What a line comes to, its values below each other.
    pub fn says(&mut self, text: &str) -> String {
        match self.evaluate(text) {
            Ok(values) => values.shown.join("\n"),
            Err(trouble) => panic!("{text}: {trouble:?}"),
        }
    }

    /// What a line comes to as JSON.
    pub fn json(&mut self, text: &str) -> String {
        self.evaluate(text).expect("a value").json.join("\n")
    }

    pub fn fails(&mut self, text: &str) -> Trouble {
        match self.evaluate(text) {
            Ok(values) => panic!("{text}: {values:?}"),
            Err(trouble) => trouble,
        }
    }

    /// Asks the same until no more questions are taken; how many were, and why.
    pub fn asks_until_refused(&mut self, text: &str, most: u64) -> (u64, String) {
        for asked in 0..most {
            self.next += 1;
            if let Err(why) = self.session.complete(self.next, text, text.len()) {
                return (asked, why);
            }
        }
        (most, String::new())
    }

    /// The next answer to a question.
    pub fn candidates(&mut self) -> Candidates {
        match self.item() {
            Item::Candidates(candidates) => candidates,
            other => panic!("unexpected: {other:?}"),
        }
    }

    /// Candidates at the end of a text.
    pub fn completes(&mut self, text: &str) -> Candidates {
        let id = self.next;
        self.next += 1;
        self.session.complete(id, text, text.len()).unwrap();
        match self.item() {
            Item::Candidates(candidates) if candidates.id == id => candidates,
            other => panic!("unexpected: {other:?}"),
        }
    }
}
