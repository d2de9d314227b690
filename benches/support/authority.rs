//! BIND as the authority for `bench.test`.

use std::{fs, path::Path};

use super::Process;

/// Serves `bench.test` with these records on `port`, from core 1, whose cost nobody measures.
pub(crate) fn start(dir: &Path, port: u16, records: &str) -> Process {
    let apex = "$TTL 86400\n$ORIGIN bench.test.\n\
                @ SOA ns hostmaster 1 3600 900 604800 300\n@ NS ns\nns A 192.0.2.53\n";
    fs::write(dir.join("bench.zone"), format!("{apex}{records}")).expect("a zone");
    let conf = format!(
        "options {{ directory \"{}\"; pid-file none; session-keyfile none; listen-on port {port} \
         {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no; dnssec-validation no; \
         minimal-responses yes; }};\ncontrols {{ }};\n\
         zone \"bench.test\" {{ type primary; file \"bench.zone\"; }};\n",
        dir.display()
    );
    let path = dir.join("named.conf");
    fs::write(&path, conf).expect("a configuration");
    let path = path.to_str().expect("a path in UTF-8");
    Process::start(1, "named", dir, "named", &["-f", "-n", "1", "-c", path])
}
