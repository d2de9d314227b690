//! Tables as the sheets of a workbook (Office Open XML).
//!
//! Text is written as text cells, which no spreadsheet takes for formulas.

use rust_xlsxwriter::{DocProperties, ExcelDateTime, Format, Workbook, Worksheet, XlsxError};

use super::parts::{Cell, Table};
use crate::{clock::Timestamp, escape, record::capped};

/// The most text a cell holds is 32,767 characters.
const CELL_BYTES_MAX: usize = 32_000;

/// The most rows a sheet holds, its heading included.
const ROWS_MAX: u32 = 1_048_576;

/// How wide columns are, in characters.
const COLUMN_WIDTH: f64 = 22.0;

pub(super) fn write(tables: &[Table], made: Timestamp) -> Result<Vec<u8>, XlsxError> {
    let mut book = Workbook::new();
    // Else the writer would look at a clock of its own.
    let made = ExcelDateTime::from_timestamp(made.secs())?;
    book.set_properties(&DocProperties::new().set_creation_datetime(&made));
    for table in tables {
        fill(book.add_worksheet(), table)?;
    }
    book.save_to_buffer()
}

fn fill(sheet: &mut Worksheet, table: &Table) -> Result<(), XlsxError> {
    sheet.set_name(table.name)?;
    sheet.set_freeze_panes(1, 0)?;
    let bold = Format::new().set_bold().set_text_wrap();
    for (column, heading) in (0u16..).zip(&table.headings) {
        sheet.set_column_width(column, COLUMN_WIDTH)?;
        sheet.write_string_with_format(0, column, *heading, &bold)?;
    }
    for (row, cells) in (1..ROWS_MAX).zip(&table.rows) {
        for (column, cell) in (0u16..).zip(cells) {
            put(sheet, row, column, cell)?;
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a spreadsheet knows no other numbers")]
fn put(sheet: &mut Worksheet, row: u32, column: u16, cell: &Cell) -> Result<(), XlsxError> {
    match cell {
        Cell::Text(text) => {
            sheet.write_string(row, column, capped(&escape::text(text), CELL_BYTES_MAX))?
        }
        Cell::Count(count) => sheet.write_number(row, column, *count as f64)?,
        Cell::Seconds(Some(seconds)) => sheet.write_number(row, column, *seconds)?,
        Cell::Time(time) if *time != Timestamp::ZERO => {
            sheet.write_string(row, column, time.to_string())?
        }
        Cell::Seconds(None) | Cell::Time(_) => return Ok(()),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use calamine::{Data, Reader as _, Xlsx};

    use super::*;

    #[test]
    fn a_spreadsheet_reads_what_was_written() {
        let table = Table {
            name: "处置反馈 orders",
            headings: vec!["文号 order number", "n", "s", "t"],
            rows: vec![vec![
                Cell::Text("=HYPERLINK(\"x\")\u{202e}".into()),
                Cell::Count(7),
                Cell::Seconds(None),
                Cell::Time(Timestamp::from_secs(1)),
            ]],
        };
        let bytes = write(&[table], Timestamp::from_secs(1_800_000_000)).unwrap();
        let mut book = Xlsx::new(Cursor::new(&bytes)).unwrap();
        assert_eq!(book.sheet_names(), ["处置反馈 orders"]);
        let sheet = book.worksheet_range("处置反馈 orders").unwrap();
        let rows: Vec<_> = sheet.rows().collect();
        assert_eq!(rows[0][0], Data::String("文号 order number".into()));
        // Text, not a formula, and nothing in it acts.
        assert_eq!(rows[1][0], Data::String("=HYPERLINK(\"x\")\\u{202e}".into()));
        assert_eq!(rows[1][1].to_string(), "7");
        assert_eq!(rows[1][2], Data::Empty);
        assert_eq!(rows[1][3], Data::String("1970-01-01T00:00:01.000000Z".into()));
        let formulas = book.worksheet_formula("处置反馈 orders").unwrap();
        assert!(formulas.cells().all(|(_, _, formula)| formula.is_empty()));
    }
}
