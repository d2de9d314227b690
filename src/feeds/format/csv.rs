//! Comma-separated values (RFC 4180), with other marks between the columns, too.
//!
//! A cell in quotes may go on over lines. Where its quotes do not end, or more comes behind them
//! than a mark, the first line is rejected and the lines behind it are read as rows of their own:
//! one forgotten quote must not make a cell of the whole list.

use std::{borrow::Cow, io::BufRead};

use super::{
    Error, Place, Reason,
    lines::{Lines, Next},
    out::Out,
    table::Table,
};

/// Marks that columns may be parted by, the one that is taken when in doubt first.
const DELIMITERS: [u8; 4] = *b",;\t|";

pub(super) fn parse(input: &mut dyn BufRead, out: &mut Out<'_>) -> Result<(), Error> {
    let bytes_max = out.options.line_bytes_max;
    let options = out.options;
    let mut lines = Lines::new(input, bytes_max);
    let mut table = Table::new(&options.table);
    let mut delimiter = options.table.delimiter;
    let mut line = Vec::with_capacity(256);
    while out.wants_more() {
        let next = lines.next(&mut line)?;
        let at = Place { line: lines.number(), text: &line };
        if next == Next::End {
            break;
        }
        if next == Next::TooLong {
            out.reject(at, Reason::too_long(bytes_max));
            continue;
        }
        if !table.is_known() && options.table.delimiter.is_none() {
            delimiter = Some(most_frequent(&line));
        }
        let delimiter = delimiter.unwrap_or(b',');
        let (number, first) = (lines.number(), line.clone());
        let mut behind = Vec::new();
        let row = whole_row(&mut lines, &mut line, delimiter, bytes_max, &mut behind)?;
        match row {
            // What quotes make of several lines must be a row as the others are.
            Some(cells) if behind.is_empty() || table.is_whole(cells.len()) => {
                let at = Place { line: number, text: &line };
                let cells: Result<Vec<_>, _> = cells.iter().map(|c| decoded(c, out)).collect();
                match cells {
                    Ok(cells) => table.row(at, &cells, out),
                    Err(reason) => out.reject(at, reason),
                }
            }
            _ => {
                lines.give_back(behind);
                let why = "a quote that does not end, or not where a cell does";
                out.reject(Place { line: number, text: &first }, Reason::syntax(why));
            }
        }
    }
    table.finish(out);
    out.summary.lines = lines.number();
    Ok(())
}

fn decoded<'c>(cell: &'c [u8], out: &Out<'_>) -> Result<Cow<'c, str>, Reason> {
    out.options.encoding.decode(cell)
}

/// The cells of the row that begins with `row`, which becomes all its lines; those read beyond the
/// first are in `behind`. None where it is no row.
fn whole_row(
    lines: &mut Lines<'_>,
    row: &mut Vec<u8>,
    delimiter: u8,
    bytes_max: usize,
    behind: &mut Vec<(Vec<u8>, bool)>,
) -> Result<Option<Vec<Vec<u8>>>, Error> {
    let mut line = Vec::new();
    loop {
        match cells(row, delimiter) {
            Split::Cells(cells) => return Ok(Some(cells)),
            Split::Broken => return Ok(None),
            Split::Open => {}
        }
        let next = lines.next(&mut line)?;
        if next == Next::End {
            return Ok(None);
        }
        behind.push((line.clone(), next == Next::TooLong));
        if next == Next::TooLong || row.len() + line.len() >= bytes_max || behind.len() > LINES_MAX
        {
            return Ok(None);
        }
        row.push(b'\n');
        row.extend_from_slice(&line);
    }
}

/// How many lines one row may go on for.
const LINES_MAX: usize = 100;

enum Split {
    Cells(Vec<Vec<u8>>),
    /// A quote has not ended.
    Open,
    Broken,
}

fn cells(row: &[u8], delimiter: u8) -> Split {
    let mut cells = Vec::new();
    let mut at = 0;
    loop {
        let (cell, end) = if row.get(at) == Some(&b'"') {
            match quoted(row, at + 1) {
                Some(found) => found,
                None => return Split::Open,
            }
        } else {
            let end = memchr::memchr(delimiter, &row[at..]).map_or(row.len(), |n| at + n);
            (row[at..end].to_vec(), end)
        };
        cells.push(cell);
        match row.get(end) {
            None => return Split::Cells(cells),
            Some(b) if *b == delimiter => at = end + 1,
            Some(_) => return Split::Broken,
        }
    }
}

/// The cell in quotes from `at` on, and where the row goes on.
fn quoted(row: &[u8], mut at: usize) -> Option<(Vec<u8>, usize)> {
    let mut cell = Vec::new();
    loop {
        let quote = at + memchr::memchr(b'"', &row[at..])?;
        cell.extend_from_slice(&row[at..quote]);
        if row.get(quote + 1) != Some(&b'"') {
            return Some((cell, quote + 1));
        }
        cell.push(b'"');
        at = quote + 2;
    }
}

/// The mark that there is most of outside quotes.
fn most_frequent(line: &[u8]) -> u8 {
    let mut counts = [0_u32; DELIMITERS.len()];
    let mut inside = false;
    for b in line {
        inside ^= *b == b'"';
        if let Some(i) = DELIMITERS.iter().position(|d| d == b).filter(|_| !inside) {
            counts[i] += 1;
        }
    }
    // The first of the most.
    let most = counts.iter().copied().max().unwrap_or(0);
    counts.iter().position(|c| *c == most).map_or(b',', |i| DELIMITERS[i])
}
