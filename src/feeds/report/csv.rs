//! A table as comma-separated values (RFC 4180).

use super::parts::{Cell, Table};
use crate::{clock::Timestamp, escape};

const BYTE_ORDER_MARK: &str = "\u{feff}";

pub(super) fn write(table: &Table) -> Vec<u8> {
    let mut out = String::from(BYTE_ORDER_MARK);
    line(&mut out, table.headings.iter().map(|h| escape::csv(h)));
    for row in &table.rows {
        line(&mut out, row.iter().map(field));
    }
    out.into_bytes()
}

fn line(out: &mut String, fields: impl Iterator<Item = String>) {
    for (i, field) in fields.enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push_str(&field);
    }
    out.push_str("\r\n");
}

fn field(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => escape::csv(text),
        Cell::Count(count) => count.to_string(),
        Cell::Seconds(Some(seconds)) => format!("{seconds:.3}"),
        Cell::Time(time) if *time != Timestamp::ZERO => time.to_string(),
        Cell::Seconds(None) | Cell::Time(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_becomes_a_formula_or_another_line() {
        let table = Table {
            name: "t",
            headings: vec!["文号 order number", "b"],
            rows: vec![
                vec![Cell::Text("=cmd|'/c calc'!A1".into()), Cell::Count(7)],
                vec![Cell::Text("a\r\nb\u{202e},\"c\"".into()), Cell::Seconds(Some(0.25))],
                vec![Cell::Time(Timestamp::ZERO), Cell::Time(Timestamp::from_secs(1))],
            ],
        };
        let text = String::from_utf8(write(&table)).unwrap();
        let expected = "\u{feff}\"文号 order number\",b\r\n\
                        \"'=cmd|'/c calc'!A1\",7\r\n\
                        \"a\\u{d}\\u{a}b\\u{202e},\"\"c\"\"\",0.250\r\n\
                        ,1970-01-01T00:00:01.000000Z\r\n";
        assert_eq!(text, expected);
    }
}
