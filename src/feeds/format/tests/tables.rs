//! Tables: CSV files and workbooks.

use std::sync::Arc;

use rust_xlsxwriter::{ExcelDateTime, Format as Style, Workbook};

use super::*;
use crate::policy::{Legal, Tier};

const REGULATOR: &str = include_str!("../../../../tests/data/feeds/regulator.csv");

fn column(word: &str, place: &str) -> (Column, String) {
    (Column::from_name(word).unwrap(), place.into())
}

#[test]
fn a_regulators_table() {
    let utf8 = REGULATOR.as_bytes();
    let with_mark = [b"\xef\xbb\xbf", utf8].concat();
    let gb18030 = encoding_rs::GB18030.encode(REGULATOR).0;
    for text in [utf8, &with_mark, &gb18030] {
        let options = Options { utc_offset_s: 8 * 3_600, ..options() };
        let (seen, summary) = read(Format::Csv, text, &options);
        assert_eq!(
            seen.rules,
            [
                "3: bad.example nxdomain",
                "4: xn--0d3aq50a.example nxdomain",
                "5: a.example cname warn.example",
                "5: b.example cname warn.example",
                "6: multi.example nxdomain",
                "10: last.example nxdomain",
            ]
        );
        let found: Vec<_> = seen.rejected.iter().map(|(line, code, _)| (*line, *code)).collect();
        assert_eq!(found, [(8, "bad-name"), (9, "bad-time")]);
        // The title and the headings.
        assert_eq!(summary.ignored, 2);
        let first = Legal {
            authority: "某省通信管理局".into(),
            order_number: "〔2026〕17号".into(),
            reason: "仿冒银行".into(),
            tier: Some(Tier::Block),
            issued_at: "2026-11-19T16:00:00Z".parse().unwrap(),
            expires_at: "2027-05-20T16:00:00Z".parse().unwrap(),
            ..Legal::default()
        };
        assert_eq!(*seen.all[0].legal, first);
        assert_eq!(&*seen.all[4].legal.reason, "两行 的原因");
        assert!(Arc::ptr_eq(&seen.all[2].legal, &seen.all[3].legal));
    }
}

#[test]
fn columns_by_heading_number_and_letter() {
    let check =
        |columns: &[(&str, &str)], header_row, text: &str, rules: &[&str], rejected: usize| {
            let mut options = options();
            options.table.columns = columns.iter().map(|(c, p)| column(c, p)).collect();
            options.table.header_row = header_row;
            let (seen, _) = read(Format::Csv, text.as_bytes(), &options);
            assert_eq!(seen.rules, rules, "{text}");
            assert_eq!(seen.rejected.len(), rejected, "{text}: {:?}", seen.rejected);
        };
    check(&[], None, "no,Domain\n1,a.test\n", &["2: a.test nxdomain"], 0);
    let twice = "no,domain\n1,a.test\nno,domain\n2,b.test\n";
    check(&[], None, twice, &["2: a.test nxdomain", "4: b.test nxdomain"], 0);
    check(&[], None, "a;domain\n1;a.test\n", &["2: a.test nxdomain"], 0);
    check(&[], None, "id\tURL\n1\thttp://a.test/b\n", &["2: Exact a.test/b nxdomain"], 0);
    check(&[], None, "a.test\nb.test\n", &["1: a.test nxdomain", "2: b.test nxdomain"], 0);
    check(&[], None, "1,a.test\n2,b.test\n", &[], 2);
    check(&[("name", "Site")], None, "x,site\n1,a.test\n", &["2: a.test nxdomain"], 0);
    check(&[("name", "2")], None, "1,a.test\n", &["1: a.test nxdomain"], 0);
    check(&[("name", "B")], Some(0), "1,a.test\n", &["1: a.test nxdomain"], 0);
    check(&[("name", "B")], Some(2), "title\nx,y\n1,a.test\n", &["3: a.test nxdomain"], 0);
    check(&[("name", "site")], Some(1), "x,y\n1,a.test\n", &[], 2);
    check(
        &[("subject", "1"), ("action", "2")],
        Some(0),
        "a.test,nodata\n192.0.2.0/24,\nb.test,nonsense\nc.test,192.0.2.9\n,drop\n",
        &["1: a.test nodata", "2: answer 192.0.2.0/24 nxdomain", "4: c.test 1 300 c0000209"],
        2,
    );
    check(
        &[("client", "1"), ("nsdname", "2"), ("nsip", "3"), ("code", "4"), ("trigger", "5")],
        Some(0),
        "192.0.2.1,.ns.test,2001:db8::1,abc,url-prefix:a.test/b/\n",
        &[
            "1: client 192.0.2.1/32 nxdomain",
            "1: ns ns.test nxdomain",
            "1: ns *.ns.test nxdomain",
            "1: ns 2001:db8::1/128 nxdomain",
            "1: code abc nxdomain",
            "1: Prefix a.test/b/ nxdomain",
        ],
        0,
    );
}

#[test]
fn quotes_that_do_not_end_take_no_row_with_them() {
    check(
        Format::Csv,
        "domain,note\n\"bad.test,x\na.test,\"say \"\"no\"\"\"\nb.test,\"two\nlines\"\n\"c.test\"x,\nd.test,\"e\nf.test\n",
        &["3: a.test nxdomain", "4: b.test nxdomain", "8: f.test nxdomain"],
        &[(2, "syntax"), (6, "syntax"), (7, "syntax")],
    );
}

fn workbook() -> Vec<u8> {
    let mut book = Workbook::new();
    book.add_worksheet().set_name("hidden").unwrap().set_hidden(true);
    let sheet = book.add_worksheet();
    sheet.set_name("清单").unwrap().set_active(true);
    sheet.write_string(0, 0, "关于处置涉诈域名的通知").unwrap();
    for (i, heading) in (0..).zip(["序号", "域名", "文号", "失效时间", "IP地址"]) {
        sheet.write_string(2, i, heading).unwrap();
    }
    let date = Style::new().set_num_format("yyyy-mm-dd");
    let until = ExcelDateTime::parse_from_str("2027-01-31").unwrap();
    sheet.write_number(3, 0, 1).unwrap();
    sheet.write_string(3, 1, "BAD.example").unwrap();
    sheet.write_number(3, 2, 202_617).unwrap();
    sheet.write_datetime_with_format(3, 3, &until, &date).unwrap();
    sheet.write_string(3, 4, "192.0.2.1、192.0.2.2").unwrap();
    sheet.write_string(4, 1, "诈骗.example").unwrap();
    sheet.write_string(5, 1, "not a name!").unwrap();
    sheet.write_string(7, 1, "last.example").unwrap();
    sheet.write_string(7, 16_383, "far away").unwrap();
    let other = book.add_worksheet();
    other.set_name("other").unwrap().write_string(0, 0, "other.example").unwrap();
    book.save_to_buffer().unwrap()
}

#[test]
fn workbooks() {
    let book = workbook();
    let (seen, summary) = read(Format::Xlsx, &book, &options());
    assert_eq!(
        seen.rules,
        [
            "4: bad.example nxdomain",
            "4: answer 192.0.2.1/32 nxdomain",
            "4: answer 192.0.2.2/32 nxdomain",
            "5: xn--0d3aq50a.example nxdomain",
            "8: last.example nxdomain",
        ]
    );
    assert_eq!((summary.lines, summary.ignored), (8, 2));
    assert_eq!(&*seen.all[0].legal.order_number, "202617");
    assert_eq!(seen.all[0].legal.expires_at, "2027-02-01T00:00:00Z".parse().unwrap());
    let codes: Vec<_> = seen.rejected.iter().map(|(line, code, _)| (*line, *code)).collect();
    assert_eq!(codes, [(6, "bad-name")]);

    let mut options = options();
    options.table.sheet = "other".into();
    assert_eq!(read(Format::Xlsx, &book, &options).0.rules, ["1: other.example nxdomain"]);
    options.table.sheet = "none".into();
    let missing = parse(Format::Xlsx, &mut &book[..], &options, &mut Seen::default());
    assert!(matches!(missing, Err(Error::Form(why)) if why.contains("none")));
}

#[test]
fn workbooks_that_are_too_large() {
    let refused = |book: &[u8], options: &Options| {
        parse(Format::Xlsx, &mut &book[..], options, &mut Seen::default()).unwrap_err().to_string()
    };
    let book = workbook();
    let packed = Options { workbook_bytes_max: book.len() as u64 - 1, ..options() };
    assert!(refused(&book, &packed).contains("larger than"));
    let fits = Options { workbook_bytes_max: book.len() as u64, ..options() };
    assert!(parse(Format::Xlsx, &mut &book[..], &fits, &mut Seen::default()).is_ok());

    // A megabyte of one letter packs to nearly nothing.
    let mut bomb = Workbook::new();
    let sheet = bomb.add_worksheet();
    for row in 0..40 {
        sheet.write_string(row, 0, format!("{row}{}", "x".repeat(30_000))).unwrap();
    }
    let bomb = bomb.save_to_buffer().unwrap();
    let small = Options { workbook_unpacked_bytes_max: 500_000, ..options() };
    assert!(bomb.len() < 100_000, "{}", bomb.len());
    assert!(refused(&bomb, &small).contains("unpacked"));
    assert!(refused(b"\xd0\xcf\x11\xe0old", &options()).contains("password"));
    assert!(refused(b"no workbook", &options()).contains("not a workbook"));
}
