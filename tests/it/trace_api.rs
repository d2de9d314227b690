//! Questions through the API: who may ask, what is refused, and that each look is recorded. The
//! pages themselves are in `trace.rs`; here there is no store to ask.

use serde_json::Value;
use tracegate::record::Table;

use crate::site::Site;

#[test]
fn looks_are_recorded_whatever_becomes_of_them() {
    let site = Site::start(|_| {});
    let code = site.link("https://www.demo.test/");
    let token = |name: &str, role: &str| {
        let body = serde_json::json!({ "name": name, "role": role }).to_string();
        let made = site.call(&site.operator, "POST", "/api/v1/tokens", &body).json();
        made["token"].as_str().unwrap().to_owned()
    };
    let (writer, auditor) = (token("w-1", "writer"), token("a-1", "auditor"));
    let operator = site.operator.clone();
    let id = "it-30115102720000258-0";
    let expected = [
        (&operator, format!("/api/v1/trace?q={code}"), 503, "store_unavailable", "failed"),
        (&auditor, "/api/v1/trace?q=%E4%BE%8B.test".into(), 503, "store_unavailable", "failed"),
        (&auditor, format!("/api/v1/records/{id}"), 503, "store_unavailable", "failed"),
        (&writer, format!("/api/v1/trace?q={code}"), 403, "forbidden", "refused"),
        (&writer, format!("/api/v1/records/{id}"), 403, "forbidden", "refused"),
        (
            &operator,
            "/api/v1/trace?q=192.0.2.7&kind=client&case=7".into(),
            403,
            "persons",
            "refused",
        ),
        (
            &auditor,
            "/api/v1/trace?q=192.0.2.7&kind=client&case=7&purpose=p".into(),
            403,
            "persons",
            "refused",
        ),
        (&operator, "/api/v1/trace".into(), 400, "bad_request", "refused"),
        (&operator, "/api/v1/trace?q=a&q=b".into(), 400, "bad_request", "refused"),
        (&operator, "/api/v1/trace?q=a&kind=name".into(), 400, "bad_request", "refused"),
        (&operator, "/api/v1/trace?q=a&from=soon".into(), 400, "bad_request", "refused"),
        (&operator, "/api/v1/trace?q=a&cursor=00".into(), 400, "bad_request", "refused"),
        (&operator, "/api/v1/records/nothing".into(), 400, "bad_request", "refused"),
    ];
    for (token, path, status, problem, _) in &expected {
        let reply = site.call(token, "GET", path, "");
        assert_eq!(reply.status, *status, "{path}: {}", reply.body);
        assert_eq!(reply.json()["code"], *problem, "{path}");
    }
    // Nobody has looked without a token: there is no one to name.
    assert_eq!(site.call("wrong", "GET", "/api/v1/trace?q=a", "").status, 401);
    let records = site.stop();
    let looks = records.of(Table::Access);
    let outcomes: Vec<_> = looks.iter().map(|l| l["outcome"].as_str().unwrap()).collect();
    let wanted: Vec<_> = expected.iter().map(|e| e.4).collect();
    assert_eq!(outcomes, wanted);
    let actors: Vec<_> = looks[..4].iter().map(|l| l["actor"].as_str().unwrap()).collect();
    assert_eq!(actors, ["operator", "a-1", "a-1", "w-1"]);
    let question: Value = serde_json::from_str(looks[0]["question"].as_str().unwrap()).unwrap();
    assert_eq!(question, serde_json::json!({ "text": code, "kind": "link" }));
    assert_eq!((&looks[6]["case_number"], &looks[6]["purpose"]), (&"7".into(), &"p".into()));
}
