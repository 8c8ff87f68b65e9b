//! Tables: a line a row, columns as wide as they need to be, and the last one cut where the terminal ends.

use std::io::{IsTerminal, stdout};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::cli::escape::escape;
use crate::cli::paint::{Paint, Tone};

/// Between columns.
const GAP: usize = 2;
/// The last column is cut to this at the narrowest; what is wider still, the terminal wraps.
const NARROWEST: usize = 12;

/// A cell: how it looks and what it says.
pub(super) type Cell = (Tone, String);

/// How wide, and whether coloured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sheet {
    /// Colours.
    pub(super) paint: Paint,
    /// Columns of the terminal; without one nothing is cut.
    pub(super) width: Option<usize>,
}

impl Sheet {
    /// What stdout is.
    pub(super) fn of_stdout(paint: Paint) -> Self {
        let size = if stdout().is_terminal() { terminal_size::terminal_size_of(stdout()) } else { None };
        Sheet { paint, width: size.map(|(width, _)| usize::from(width.0)) }
    }

    /// The table, each line with its end.
    pub(super) fn table(self, header: &[&str], rows: Vec<Vec<Cell>>) -> String {
        let header = header.iter().map(|title| (Tone::Faint, (*title).to_owned())).collect();
        self.rows(std::iter::once(header).chain(rows).collect())
    }

    /// The same without a header.
    pub(super) fn rows(self, rows: Vec<Vec<Cell>>) -> String {
        let rows: Vec<Vec<Cell>> = rows.into_iter().map(escaped).collect();
        let widths = widths(&rows);
        let mut text = String::new();
        for row in &rows {
            self.line(&mut text, row, &widths);
        }
        text
    }

    /// Lines of a name and what it stands for.
    pub(super) fn pairs(self, pairs: Vec<(&str, Cell)>) -> String {
        let rows = pairs.into_iter().map(|(name, cell)| vec![(Tone::Faint, name.to_owned()), cell]);
        // Here the last column is the point of it, and what is long may wrap.
        Sheet { width: None, ..self }.rows(rows.collect())
    }

    fn line(self, text: &mut String, row: &[Cell], widths: &[usize]) {
        // The last cell that says something ends the line: no blanks follow it.
        let last = row.iter().rposition(|(_, cell)| !cell.is_empty()).unwrap_or(0);
        let mut column = 0;
        for (index, ((tone, cell), width)) in row.iter().zip(widths).take(last + 1).enumerate() {
            if index + 1 == widths.len() {
                let room = self.width.map_or(usize::MAX, |all| all.saturating_sub(column).max(NARROWEST));
                text.push_str(&self.paint.tone(*tone, &cut(cell, room)));
            } else {
                text.push_str(&self.paint.tone(*tone, cell));
                let blanks = if index == last { 0 } else { width + GAP - cell.width() };
                text.extend(std::iter::repeat_n(' ', blanks));
            }
            column += width + GAP;
        }
        text.push('\n');
    }
}

/// Names and reasons come from anywhere: they must neither steer the terminal nor break the line.
fn escaped(row: Vec<Cell>) -> Vec<Cell> {
    row.into_iter().map(|(tone, cell)| (tone, escape(cell.as_bytes()).replace('\t', " "))).collect()
}

fn widths(rows: &[Vec<Cell>]) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|(_, cell)| cell.width()).max();
    (0..columns).map(|column| width(column).unwrap_or(0)).collect()
}

/// The text, cut to this width with a mark where something is missing.
pub(super) fn cut(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut width = 1;
    for c in text.chars() {
        width += c.width().unwrap_or(0);
        if width > room {
            break;
        }
        kept.push(c);
    }
    kept.truncate(kept.trim_end().len());
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::{Cell, Sheet, cut};
    use crate::cli::paint::{Paint, Tone};

    fn row(cells: [&str; 3]) -> Vec<Cell> {
        cells.map(|cell| (Tone::Plain, cell.to_owned())).to_vec()
    }

    fn sheet(width: Option<usize>) -> Sheet {
        Sheet { paint: Paint::off(), width }
    }

    #[test]
    fn columns_are_as_wide_as_they_need_to_be_and_no_line_ends_in_blanks() {
        let rows = vec![row(["web", "running", ""]), row(["db-primary", "", ""]), row(["x", "failed", "exit code 3"])];
        let expected = "NAME        STATE    REASON\n\
                        web         running\n\
                        db-primary\n\
                        x           failed   exit code 3\n";
        assert_eq!(sheet(None).table(&["NAME", "STATE", "REASON"], rows), expected);
    }

    #[test]
    fn the_last_column_is_cut_where_the_terminal_ends() {
        let rows = vec![row(["web", "failed", "exit code 3 after a very long time"])];
        let expected = "NAME  STATE   REASON\nweb   failed  exit code 3…\n";
        assert_eq!(sheet(Some(27)).table(&["NAME", "STATE", "REASON"], rows.clone()), expected);
        // Not cut to nothing where there is no room at all.
        let narrow = sheet(Some(5)).table(&["NAME", "STATE", "REASON"], rows);
        assert_eq!(narrow, "NAME  STATE   REASON\nweb   failed  exit code 3…\n");
    }

    #[test]
    fn what_a_name_or_a_reason_holds_does_not_steer_the_terminal() {
        let rows = vec![row(["we\x1b[2Jb", "x", "a\nb\tc"])];
        assert_eq!(sheet(None).table(&["N", "S", "R"], rows), "N           S  R\nwe\\x1b[2Jb  x  a\\nb c\n");
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(cut("潮汐潮汐", 8), "潮汐潮汐");
        assert_eq!(cut("潮汐潮汐", 7), "潮汐潮…");
        assert_eq!(cut("潮汐潮汐", 6), "潮汐…");
    }
}
