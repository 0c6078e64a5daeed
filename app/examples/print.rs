use app::wire::*;
fn main() {
    let c = app::PageConfig {
        client_id: "p_dev123".into(),
        nonce: Some("fake".into()),
        css: "/pkg/main.css".into(),
        js: "/pkg/bucket-brigade.js".into(),
        wasm: "/pkg/bucket-brigade.wasm".into(),
        max_document: 25 << 20,
        max_image: 10 << 20,
        allow_svg: false,
    };
    let dir = std::env::args().nth(1).unwrap();
    std::fs::write(format!("{dir}/index.html"), app::page_html(&c)).unwrap();
    let f = |field: &str, outcome, code: Option<&str>, key: Option<&str>| FileOutcome {
        field: field.into(),
        outcome,
        code: code.map(Into::into),
        key: key.map(Into::into),
        size: Some(24_100_000),
        content_type: None,
        etag: None,
        checksum_crc64nvme: None,
    };
    let ok = UploadAnswer {
        upload_id: "x".into(),
        files: vec![
            f(
                "docs_field",
                Outcome::Stored,
                None,
                Some("supporting_documents/docs_file3f8a.pdf"),
            ),
            f(
                "msa_imgs",
                Outcome::Stored,
                None,
                Some("photos/msa_imgs3f8a.jpg"),
            ),
        ],
    };
    std::fs::write(
        format!("{dir}/result-ok.html"),
        app::result_html(&c, &Ok(ok)),
    )
    .unwrap();
    let bad = Problem {
        problem_type: "about:blank".into(),
        title: "".into(),
        status: 415,
        detail: "The document must be a PDF or DOCX.".into(),
        code: "type_mismatch".into(),
        retryable: false,
        file: Some("docs_field".into()),
        upload_id: Some("x".into()),
        files: vec![
            f("docs_field", Outcome::Failed, Some("type_mismatch"), None),
            f(
                "msa_imgs",
                Outcome::NotReceived,
                Some("type_mismatch"),
                None,
            ),
        ],
    };
    std::fs::write(
        format!("{dir}/result-bad.html"),
        app::result_html(&c, &Err(bad)),
    )
    .unwrap();
}
