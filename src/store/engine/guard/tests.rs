use proptest::prelude::*;

use super::*;

fn guard() -> Guard {
    Guard::new(["url", "file", "numbers", "remote", "s3", "dictionary"].map(str::to_owned))
}

fn told(text: &str, who: Who) -> String {
    match guard().inspect(text, who) {
        Ok(s) => format!("{:?} {} {:?} {}", s.kind, s.end, s.format, s.data),
        Err(e) => e.code.to_string(),
    }
}

#[test]
fn allowed() {
    for (text, expected) in [
        ("select 1", "Select 8 None 8"),
        ("select 1 ; -- bye", "Select 8 None 8"),
        ("(select 1)", "Select 10 None 10"),
        ("with 1 as x select x format JSON;;", "Select 32 Some(\"JSON\") 32"),
        ("from numbers(3) select number", "Select 29 None 29"),
        ("select file, url, engine from t", "Select 31 None 31"),
        ("select a as format from t", "Select 25 None 25"),
        ("select 1 format CSV settings a = 1", "Select 34 Some(\"CSV\") 34"),
        ("select format('{}', 1)", "Select 22 None 22"),
        ("show tables", "Show 11 None 11"),
        ("DESCRIBE TABLE `t`", "Show 18 None 18"),
        ("insert into t (a, b) format RowBinary\nxx;yy", "InsertData 20 Some(\"RowBinary\") 37"),
        ("insert into t format RowBinary", "InsertData 13 Some(\"RowBinary\") 30"),
        ("insert into format values (1)", "InsertData 18 Some(\"Values\") 25"),
        ("insert into d.values values (1)", "InsertData 20 Some(\"Values\") 27"),
        ("insert into t select 1", "Change 22 None 22"),
        ("insert into t settings a = 'format X' format CSV", "InsertData 37 Some(\"CSV\") 48"),
        ("create table t (engine String) engine = MergeTree order by a", "Change 60 None 60"),
        ("create materialized view v to t as select 1", "Change 43 None 43"),
        ("create database x engine=Atomic", "Change 31 None 31"),
        ("alter table t drop partition 1", "Change 30 None 30"),
        ("system stop merges t", "Change 20 None 20"),
        ("system drop mark cache", "Change 22 None 22"),
        ("kill query where 1", "Change 18 None 18"),
    ] {
        assert_eq!(told(text, Who::Internal), expected, "{text}");
    }
}

#[test]
fn refused_for_everyone() {
    for text in [
        "select 1; select 2",
        "select 1; -- x\n drop table t",
        "select * from url('http://x')",
        "select * from URL  ('http://x')",
        "select * from /*c*/ url /*c*/ ('http://x')",
        "select * from `url`('http://x')",
        "select * from \"url\"('http://x')",
        "select * from numbers(1) where a in (select * from s3('x'))",
        "select file('/etc/passwd')",
        "select aiGenerate('x')",
        "select * from {f:Identifier}('x')",
        "select * from '/etc/passwd'",
        "select * from `/etc/passwd`",
        "select * from t, \"../x\"",
        "select 1 into outfile 'x'",
        "select 1 into /* */ outfile 'x'",
        "insert into t from infile 'x' format CSV",
        "insert into function file('x') select 1",
        "insert into table function s3('x') select 1",
        "insert into t select * from remote('x')",
        "create table t (a Int8) engine = URL('x')",
        "create table t (a Int8) engine MySQL('x')",
        "create table t (a Int8) engine=ReplicatedMergeTree order by a",
        "create table t engine=MergeTree order by a settings disk = disk(type = s3)",
        "create table t as url('x')",
        "create database d engine=Filesystem('/')",
        "create function f as x -> x",
        "create or replace dictionary d (a Int8)",
        "create user x",
        "create named collection c as a = 1",
        "attach table t from '/x' (a Int8)",
        "detach table t",
        "backup table t to File('x')",
        "restore table t from File('x')",
        "system shutdown",
        "system reload config",
        "system flush logs; system shutdown",
        "grant all on *.* to x",
        "execute as x select 1",
        "alter user x",
        "drop function f",
        "kill transaction where 1",
        "select 1 parallel with select 2",
        "watch v",
        "copy t to 'x'",
        "(((",
        "",
        "-- nothing",
        "set max_threads = 1",
        "use x",
        "select 1 settings max_memory_usage = 0",
        "select 1 settings max_threads = 1, `readonly` = 0",
        "select 1 settings log_comment='x'",
        "select $$;$$",
        "select ‘x’",
    ] {
        let found = told(text, Who::Internal);
        assert!(["62", "344", "452", "497"].contains(&found.as_str()), "{text}: {found}");
    }
}

#[test]
fn readers_only_read() {
    for text in
        ["insert into t values (1)", "drop table t", "kill query where 1", "system flush logs"]
    {
        assert_eq!(told(text, Who::Reader), "164", "{text}");
    }
    assert_eq!(told("select 1", Who::Reader), "Select 8 None 8");
    assert_eq!(told("show create table t", Who::Reader), "Show 19 None 19");
}

#[test]
fn readers_see_no_statements_of_others() {
    for text in [
        "select * from system.processes",
        "select * from `system` . `processes`",
        "select * from system/**/.\"query_log\"",
        "select * from SYSTEM.Processes",
        "select * from `system.processes`",
        "select 1 from t where a in system.text_log",
        "select system.* from system.tables",
        "with x as (select query from system.processes) select * from x",
        "describe system.processes",
        "show processlist",
        "select * from {d:Identifier}.processes",
        "select * from system.{t:Identifier}",
        "select * from {t : Identifier}",
        "select * from merge('system', '^processes$')",
        "select * from viewExplain('EXPLAIN', '', (select 1))",
        "select * from information_schema.processlist",
        "select * from INFORMATION_SCHEMA.engines",
        "select * from _temporary_and_external_tables.x",
    ] {
        assert_eq!(told(text, Who::Reader), "497", "{text}");
    }
    for text in [
        "select name from system.tables",
        "select name, value from system.settings limit 9",
        "select * from `system`.`columns`",
        "select table_name from INFORMATION_SCHEMA.TABLES",
        "select {x:String} from tracegate.resolutions",
        "show tables from system",
    ] {
        assert!(told(text, Who::Reader).len() > 3, "{text}");
    }
    for text in ["select * from system.processes", "select * from {t:Identifier}"] {
        assert!(told(text, Who::Internal).len() > 3, "{text}");
    }
    for (database, who, passes) in [
        ("tracegate", Who::Reader, true),
        ("system", Who::Internal, true),
        ("system", Who::Reader, false),
        ("INFORMATION_SCHEMA", Who::Reader, false),
    ] {
        assert_eq!(inspect_database(database, who).is_ok(), passes, "{database} {who:?}");
    }
}

#[test]
fn fuzz_statements() {
    let guard = guard();
    bolero::check!().with_type::<String>().for_each(|text| {
        if let Ok(statement) = guard.inspect(text, Who::Internal) {
            assert!(text.is_char_boundary(statement.end) && text.is_char_boundary(statement.data));
            assert!(statement.end <= statement.data && statement.data <= text.len());
        }
    });
}

proptest! {
    #[test]
    fn no_spelling_of_a_refused_function_passes(
        space in prop::collection::vec(
            prop_oneof![Just(" "), Just("\n"), Just("\t"), Just("/* c */"), Just("-- c\n"), Just("/*')*/")],
            0..4,
        ),
        name in prop_oneof![Just("url"), Just("URL"), Just("`url`"), Just("\"url\""), Just("uRl")],
        before in prop_oneof![Just("select * from "), Just("select '''' , 'a;(' from "), Just("(select (1) from ")],
    ) {
        let text = format!("{before}{name}{}('x')", space.concat());
        prop_assert_eq!(told(&text, Who::Internal), "497");
    }

    #[test]
    fn a_second_statement_never_passes(first in r"select '[ -&(-\[\]-~]{0,12}'", space in "[ \n;]{1,4}") {
        let text = format!("{first};{space}drop table t");
        prop_assert_eq!(told(&text, Who::Internal), "497");
    }
}
