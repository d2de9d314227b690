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
