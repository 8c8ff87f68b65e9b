//! From the parser's events to a tree. Aliases share what they stand for, so that a tree is never larger than its text.

use std::collections::BTreeMap;
use std::rc::Rc;

use granit_parser::{Event, Parser, Placement, ScalarStyle, Span};

use super::bounds::{DEEPEST, LONGEST_TEXT};
use super::others::is_anothers;
use super::syntax;
use super::text::{problem, short};
use crate::spec::Problem;

/// A value as it was written.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) content: Content,
    pub(super) line: u32,
    /// Its tag, when it has one.
    pub(super) tag: Option<String>,
    /// Below which key of the file's top it was written, by its place: an alias elsewhere does not change that.
    pub(super) top: usize,
    depth: usize,
}

#[derive(Debug)]
pub(super) enum Content {
    /// A single value; without quotes, it may be something else than text.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Item>),
    Map(Vec<Entry>),
}

/// An item of a list, with its own line: that of an alias is not the line of what it stands for.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) value: Rc<Tree>,
    pub(super) line: u32,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: Rc<Tree>,
    pub(super) line: u32,
    /// The lines of comments directly above, beside it, and between the items of a list that it holds.
    pub(super) comments: Vec<String>,
    pub(super) value: Rc<Tree>,
}

/// A tree, and the comments that stand above all of it.
type WithHead = (Rc<Tree>, Vec<String>);

/// The tree of a text, and the comments that stand above all of it; `None` when there is nothing in it.
pub(super) fn tree(file: &str, text: &str) -> Result<Option<WithHead>, Problem> {
    if text.len() > LONGEST_TEXT {
        let message = format!("the file has {} bytes; a configuration has at most {LONGEST_TEXT}", text.len());
        return Err(problem(file, 1, message));
    }
    let options = granit_parser::options! {
        emit_unresolved_aliases: true,
        flow_nesting_limit: DEEPEST,
        block_nesting_limit: DEEPEST,
        // Files with long comments are what this is read from; the text as a whole is bounded.
        max_buffered_comment_events: LONGEST_TEXT,
    };
    let mut builder = Builder { file, ..Builder::default() };
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => builder.event(event, &span, text)?,
            Err(error) => return Err(syntax::problem(file, text, &error)),
        }
    }
    let head = builder.head;
    Ok(builder.root.map(|root| (root, head)))
}

#[derive(Default)]
struct Builder<'a> {
    file: &'a str,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Rc<Tree>>,
    comments: Vec<(u32, String)>,
    head: Vec<String>,
    documents: u32,
    root: Option<Rc<Tree>>,
}

/// A list or table that is not closed yet.
struct Open {
    content: Content,
    /// The key whose value comes next.
    key: Option<(Rc<Tree>, u32, Vec<String>)>,
    line: u32,
    tag: Option<String>,
    anchor: usize,
    depth: usize,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: &Span, text: &str) -> Result<(), Problem> {
        let line = line_of(span);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let message = "a second document begins here (`---`); write one document in a file";
                    return Err(problem(self.file, line, message));
                }
            }
            Event::Scalar(value, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let content = Content::Scalar { text: value.into_owned(), plain };
                let tag = tag.map(|tag| tag.to_string());
                let tree = Tree { content, line, tag, top: self.top(), depth: 1 };
                self.complete(tree, anchor)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.begin(Content::List(Vec::new()), line, anchor, tag.map(|tag| tag.to_string()));
            }
            Event::MappingStart(_, anchor, tag) => {
                self.begin(Content::Map(Vec::new()), line, anchor, tag.map(|tag| tag.to_string()));
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    let Open { content, line, tag, anchor, depth, .. } = open;
                    self.complete(Tree { content, line, tag, top: self.top(), depth: depth + 1 }, anchor)?;
                }
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(tree) => self.place(Rc::clone(tree), line)?,
                None => {
                    if is_anothers(self.file, text.lines(), line) {
                        let message = "an alias stands inside of what it stands for, so it would never end";
                        return Err(problem(self.file, line, message));
                    }
                    let name = short(span.slice(text).unwrap_or_default().trim_start_matches('*'));
                    let message = format!("`*{name}` stands inside of `&{name}`, so it would never end");
                    return Err(problem(self.file, line, message));
                }
            },
            Event::UnresolvedAlias(name) => {
                let name = short(&name);
                if is_anothers(self.file, text.lines(), line) {
                    let message = "nothing above is marked as what a `*` here stands for; text with a `*` needs quotes";
                    return Err(problem(self.file, line, message));
                }
                let message = format!(
                    "nothing above is marked `&{name}`, which `*{name}` stands for; text with a `*` needs quotes"
                );
                return Err(problem(self.file, line, message));
            }
            Event::Comment(comment, placement) => match placement {
                Placement::Right => self.beside(comment.into_owned()),
                _ => self.comments.push((line, comment.into_owned())),
            },
            _ => {}
        }
        Ok(())
    }

    /// The place of the key at the top that is being read.
    fn top(&self) -> usize {
        match self.open.first().map(|open| &open.content) {
            Some(Content::Map(entries)) => entries.len(),
            _ => 0,
        }
    }

    fn begin(&mut self, content: Content, line: u32, anchor: usize, tag: Option<String>) {
        self.open.push(Open { content, key: None, line, tag, anchor, depth: 0 });
    }

    fn complete(&mut self, tree: Tree, anchor: usize) -> Result<(), Problem> {
        let line = tree.line;
        let tree = Rc::new(tree);
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&tree));
        }
        self.place(tree, line)
    }

    /// A comment that stands behind something belongs to the key of that.
    fn beside(&mut self, comment: String) {
        for open in self.open.iter_mut().rev() {
            if let Some((_, _, comments)) = &mut open.key {
                return comments.push(comment);
            }
            if let Content::Map(entries) = &mut open.content
                && let Some(entry) = entries.last_mut()
            {
                return entry.comments.push(comment);
            }
        }
    }

    /// Puts a whole value where it belongs.
    fn place(&mut self, tree: Rc<Tree>, line: u32) -> Result<(), Problem> {
        if let Some(Content::List(_)) = self.open.last().map(|open| &open.content) {
            std::mem::take(&mut self.comments).into_iter().for_each(|(_, comment)| self.beside(comment));
        }
        let is_first = matches!(self.open.as_slice(), [Open { content: Content::Map(entries), key: None, .. }] if entries.is_empty());
        let Some(open) = self.open.last_mut() else {
            self.root = Some(tree);
            return Ok(());
        };
        open.depth = open.depth.max(tree.depth);
        if open.depth >= DEEPEST {
            let message = format!("tables and lists are nested deeper than {DEEPEST} levels here");
            return Err(problem(self.file, line, message));
        }
        match &mut open.content {
            Content::List(items) => items.push(Item { value: tree, line }),
            Content::Map(entries) => match open.key.take() {
                Some((key, line, comments)) => entries.push(Entry { key, line, comments, value: tree }),
                None => {
                    let (above, higher) = above(&mut self.comments, line);
                    open.key = Some((tree, line, above));
                    if is_first {
                        self.head = higher;
                    }
                }
            },
            Content::Scalar { .. } => {}
        }
        Ok(())
    }
}

/// The comments that stand directly above a line, and those that stand higher.
fn above(comments: &mut Vec<(u32, String)>, line: u32) -> (Vec<String>, Vec<String>) {
    let mut next = line;
    let adjacent = comments.iter().rev().take_while(|(line, _)| {
        let is_next = line + 1 == next;
        next = *line;
        is_next
    });
    let above = comments.split_off(comments.len() - adjacent.count());
    let texts = |comments: Vec<(u32, String)>| comments.into_iter().map(|(_, text)| text).collect();
    (texts(above), texts(std::mem::take(comments)))
}

fn line_of(span: &Span) -> u32 {
    u32::try_from(span.start.line()).unwrap_or(u32::MAX)
}
