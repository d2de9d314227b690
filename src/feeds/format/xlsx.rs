//! Workbooks (Office Open XML): one sheet, row by row.
//!
//! A workbook is a packed file that can unpack to anything: it is unpacked once into nothing, up to
//! the limit, before it is read. Of a row, the first 256 columns are looked at.

use std::{
    borrow::Cow,
    io::{self, BufRead, Cursor, Read},
    panic::{AssertUnwindSafe, catch_unwind},
};

use calamine::{DataRef, Reader as _, SheetType, SheetVisible, Xlsx, XlsxError};

use super::{Error, Options, Place, Reason, out::Out, table::Table};

/// Columns of a row that are looked at.
const COLUMNS_MAX: usize = 256;

/// Files that a workbook may be packed of.
const PARTS_MAX: usize = 10_000;

pub(super) fn parse(input: &mut dyn BufRead, out: &mut Out<'_>) -> Result<(), Error> {
    let bytes = packed(input, out.options)?;
    unpacked_size(&bytes, out.options)?;
    // Broken workbooks are a list that cannot be read, not the end of the server.
    let read = catch_unwind(AssertUnwindSafe(|| sheet(&bytes, out)));
    read.unwrap_or_else(|_| Err(form("the workbook is broken")))
}

fn form(why: &str) -> Error {
    Error::Form(why.to_owned())
}

fn packed(input: &mut dyn BufRead, options: &Options) -> Result<Vec<u8>, Error> {
    let max = options.workbook_bytes_max;
    let mut bytes = Vec::new();
    input.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(Error::TooLarge(max, ""));
    }
    if bytes.starts_with(b"\xd0\xcf\x11\xe0") {
        return Err(form(
            "an old workbook (xls) or one with a password: save it as xlsx without one",
        ));
    }
    Ok(bytes)
}

/// Refuses what unpacks to more than the limit, whatever it says of itself.
fn unpacked_size(bytes: &[u8], options: &Options) -> Result<(), Error> {
    let broken = |e: zip::result::ZipError| Error::Form(format!("not a workbook: {e}"));
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    if archive.len() > PARTS_MAX {
        return Err(form("a workbook of too many parts"));
    }
    let max = options.workbook_unpacked_bytes_max;
    let mut left = max;
    for i in 0..archive.len() {
        let part = archive.by_index(i).map_err(broken)?;
        let size = io::copy(&mut part.take(left + 1), &mut io::sink())
            .map_err(|e| Error::Form(format!("not a workbook: {e}")))?;
        left = left.checked_sub(size).ok_or(Error::TooLarge(max, " unpacked"))?;
    }
    Ok(())
}

fn sheet(bytes: &[u8], out: &mut Out<'_>) -> Result<(), Error> {
    let broken = |e: XlsxError| Error::Form(format!("the workbook: {e}"));
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).map_err(broken)?;
    let options = out.options;
    let name = sheet_name(&book, &options.table.sheet)?;
    let mut cells = book.worksheet_cells_reader(&name).map_err(broken)?;
    let mut table = Table::new(&options.table);
    let mut row: Vec<Cow<'_, str>> = Vec::new();
    let mut number = 0;
    while let Some(cell) = cells.next_cell().map_err(broken)? {
        let (line, column) = cell.get_position();
        if line != number {
            if !one_row(&mut table, number, &row, out) {
                return Ok(());
            }
            row.clear();
            number = line;
        }
        let column = column as usize;
        if column < COLUMNS_MAX {
            row.resize(row.len().max(column + 1), Cow::Borrowed(""));
            row[column] = text(cell.get_value());
        }
    }
    one_row(&mut table, number, &row, out);
    table.finish(out);
    Ok(())
}

/// The sheet of this name, or the first that is seen.
fn sheet_name(book: &Xlsx<Cursor<&[u8]>>, wanted: &str) -> Result<String, Error> {
    let sheets = book.sheets_metadata();
    let found = sheets.iter().find(|s| match wanted {
        "" => s.visible == SheetVisible::Visible && s.typ == SheetType::WorkSheet,
        name => s.name == name,
    });
    found.map(|s| s.name.clone()).ok_or_else(|| {
        Error::Form(match wanted {
            "" => "the workbook has no visible sheet".into(),
            name => format!("the workbook has no sheet {name:?}"),
        })
    })
}

/// Takes one row, by its number from 0, and says whether to go on.
fn one_row(table: &mut Table<'_>, number: u32, row: &[Cow<'_, str>], out: &mut Out<'_>) -> bool {
    let line = u64::from(number) + 1;
    out.summary.lines = out.summary.lines.max(line);
    if !row.is_empty() {
        let text = row.join("\t");
        let at = Place { line, text: text.as_bytes() };
        let bytes_max = out.options.line_bytes_max;
        if text.len() > bytes_max {
            out.reject(Place { line, text: &at.text[..bytes_max] }, Reason::too_long(bytes_max));
        } else {
            table.row(at, row, out);
        }
    }
    out.wants_more()
}

/// A cell as it would be written in a text.
fn text<'c>(value: &DataRef<'c>) -> Cow<'c, str> {
    match value {
        DataRef::SharedString(text) => Cow::Borrowed(text),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => {
            Cow::Owned(text.clone())
        }
        DataRef::Int(number) => Cow::Owned(number.to_string()),
        // Whole numbers, such as those of orders, have no point.
        DataRef::Float(number) => Cow::Owned(number.to_string()),
        DataRef::Bool(truth) => Cow::Owned(truth.to_string()),
        DataRef::DateTime(when) => {
            let (year, month, day, hour, minute, second, _) = when.to_ymd_hms_milli();
            Cow::Owned(match (hour, minute, second) {
                (0, 0, 0) => format!("{year:04}-{month:02}-{day:02}"),
                _ => format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"),
            })
        }
        DataRef::Error(_) | DataRef::Empty => Cow::Borrowed(""),
    }
}
