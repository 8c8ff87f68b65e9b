//! Lists of tables with the same keys, as columns.

use std::collections::BTreeMap;

use mlua::{Table, Value};

use super::show::{Entries, Show, cell, names_of};

/// Columns that come first, where there are such keys.
const FIRST: [&str; 10] =
    ["name", "process", "state", "health", "pid", "run_count", "restarts", "exit_code", "signal", "reason"];

/// No column is wider than this while others want room.
const WIDEST: usize = 48;

/// A list of tables.
pub(super) struct Rows {
    tables: Vec<Table>,
    columns: Vec<String>,
    hidden: usize,
}

/// The rows, when a table is a list of at least two tables that have most of their keys in common.
pub(super) fn rows(entries: &Entries) -> Option<Rows> {
    if !entries.named.is_empty() || entries.items.is_empty() {
        return None;
    }
    let mut tables = Vec::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for item in entries.shown_items() {
        let Value::Table(table) = item else { return None };
        for name in names_of(table)? {
            *counts.entry(name).or_default() += 1;
        }
        tables.push(table.clone());
    }
    let shared = counts.values().filter(|count| **count * 2 > tables.len()).count();
    if shared == 0 || counts.len() > 32 {
        return None;
    }
    let mut columns: Vec<String> =
        FIRST.iter().filter(|name| counts.contains_key(**name)).map(|name| (*name).into()).collect();
    columns.extend(counts.into_keys().filter(|name| !FIRST.contains(&name.as_str())));
    Some(Rows { tables, columns, hidden: entries.hidden() })
}

/// The rows below their keys, cut where the terminal ends.
pub(super) fn table(show: &Show<'_>, rows: &Rows) -> mlua::Result<String> {
    let mut columns: Vec<(String, Vec<String>)> = Vec::new();
    for name in &rows.columns {
        let cells = rows
            .tables
            .iter()
            .map(|table| cell(show, &table.raw_get::<Value>(name.as_str())?))
            .collect::<mlua::Result<Vec<_>>>()?;
        if cells.iter().any(|cell| !cell.is_empty()) {
            columns.push((name.clone(), cells));
        }
    }
    let mut out = vec![String::new(); rows.tables.len() + 1];
    let mut used = 0_usize;
    let mut left_out = Vec::new();
    for (name, cells) in &columns {
        let longest = cells.iter().chain([name]).map(|cell| cell.chars().count()).max().unwrap_or(0);
        let wide = longest.min(WIDEST);
        if used > 0 && used + 2 + wide > show.width {
            left_out.push(name.as_str());
            continue;
        }
        for (line, text) in out.iter_mut().zip(std::iter::once(&name.to_uppercase()).chain(cells)) {
            let pad = used + if used > 0 { 2 } else { 0 };
            let length = line.chars().count();
            line.extend(std::iter::repeat_n(' ', pad.saturating_sub(length)));
            line.push_str(&cut(text, wide));
        }
        used += wide + if used > 0 { 2 } else { 0 };
    }
    if rows.hidden > 0 {
        out.push(format!("… {} more rows", rows.hidden));
    }
    if !left_out.is_empty() {
        out.push(format!("(no room for {})", left_out.join(", ")));
    }
    Ok(out.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n"))
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}
