//! PDF files: what a model gets of them, and what a hostile one can do.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::hostile;
use crate::support::gateway::{Gateway, binary};
use crate::support::talk::{SESSION, send};
use crate::support::{Answer, Upstream, wait};

const KETTLE: &[u8] = include_bytes!("../src/sys/pdf/testdata/kettle.pdf");
const SECRET: &[u8] = include_bytes!("../src/sys/pdf/testdata/kettle-secret.pdf");
/// A page of a thousand million spaces, squeezed twice.
const BOMB: &[u8] = include_bytes!("../src/sys/pdf/testdata/bomb.pdf");
/// A page without a word.
const BLANK: &[u8] = b"%PDF-1.4\n1 0 obj << /Type /Catalog /Pages 2 0 R >> endobj\n2 0 obj << /Type /Pages /Kids [3 0 R] \
    /Count 1 >> endobj\n3 0 obj << /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >> endobj\ntrailer << /Root 1 0 R >>\n";

fn with_file(file: &[u8]) -> Value {
    let data = format!("data:application/pdf;base64,{}", STANDARD.encode(file));
    let parts = json!([{ "type": "input_file", "filename": "kettle.pdf", "file_data": data },
        { "type": "input_text", "text": "What does it say?" }]);
    json!({ "input": [{ "type": "message", "role": "user", "content": parts }] })
}

#[test]
fn a_pdf_in_a_request_reaches_the_model_as_text() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let reply = gateway.post("/v1/responses", &with_file(KETTLE));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let asked = upstream.asked()[0].body.to_string();
    for words in ["holds £5 of water", "Page two ends it.", "kettle.pdf", "What does it say?"] {
        assert!(asked.contains(words), "{words:?} in {asked}");
    }
    let first =
        json!({ "gateway": { "http": { "endpoints": { "responses": { "files": { "pdf": { "maxPages": 1 } } } } } } });
    let gateway = Gateway::start(upstream.config_and(first));
    assert_eq!(gateway.post("/v1/responses", &with_file(KETTLE)).status, 200);
    let asked = upstream.asked()[1].body.to_string();
    assert!(asked.contains("[Pages 1 to 1 of 2.]") && !asked.contains("Page two"), "{asked}");
}

#[test]
fn a_pdf_that_cannot_be_read_is_refused_with_its_reason() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let before = gateway.peak_rss();
    let cases = [
        (SECRET, "The PDF is protected by a password; send a copy without one."),
        (BLANK, "The PDF has no text on the first 1 of its 1 pages"),
        (&b"%PDF-1.4 and then nothing"[..], "The file is not a readable PDF."),
        (&b"hello"[..], "The file is not a readable PDF."),
        (BOMB, "The PDF takes more than 48 MB of memory or 10 seconds to read."),
    ];
    for (file, why) in cases {
        let reply = gateway.post("/v1/responses", &with_file(file));
        assert_eq!(reply.status, 400, "{}", reply.text());
        assert!(reply.text().contains(why), "{why:?} in {}", reply.text());
    }
    let mut many = with_file(KETTLE);
    let part = many["input"][0]["content"][0].clone();
    many["input"][0]["content"] = json!(vec![part; 9]);
    let reply = gateway.post("/v1/responses", &many);
    assert!(reply.status == 400 && reply.text().contains("more than 8 PDF files"), "{}", reply.text());
    let grown = gateway.peak_rss() - before;
    assert!(grown < 16 << 20, "the bomb went off in the child, not here: {grown} bytes more");
    assert!(upstream.asked().is_empty());
    assert_eq!(gateway.post("/v1/responses", &with_file(KETTLE)).status, 200);
}

#[test]
fn the_agent_reads_a_pdf_like_a_text() {
    let read = |arguments| Answer::Call { name: "read", arguments };
    let script = [
        read(json!({ "path": "kettle.pdf" })),
        read(json!({ "path": "kettle.pdf", "offset": 5, "limit": 1 })),
        read(json!({ "path": "secret.pdf" })),
        Answer::say("Tea."),
    ];
    let upstream = Upstream::script(script);
    let gateway = Gateway::on(&upstream);
    std::fs::write(gateway.workspace().join("kettle.pdf"), KETTLE).expect("write a file");
    std::fs::write(gateway.workspace().join("secret.pdf"), SECRET).expect("write a file");
    send(&mut gateway.operator(), SESSION, "what does kettle.pdf say?", "run-1");
    let asked = upstream.wait_asked(4);
    let said = |at: usize| {
        let messages = asked[at].body["messages"].as_array().expect("messages");
        messages.last().expect("a message")["content"].as_str().unwrap_or_default().to_owned()
    };
    assert!(said(1).starts_with("The Kettle\n") && said(1).ends_with("Page two ends it."), "{}", said(1));
    assert!(said(2).starts_with("A kettle holds") && said(2).contains("continue with offset=6"), "{}", said(2));
    assert!(said(3).contains("protected by a password"), "{}", said(3));
}

/// The child on its own: whatever it is given, it ends with a word or by its limits, and ours never panics.
#[test]
fn mutated_files_end_the_child_in_order() {
    let encrypted = include_bytes!("../src/sys/pdf/testdata/kettle-aes256.pdf");
    let corpus = [KETTLE.to_vec(), encrypted.to_vec(), BLANK.to_vec()];
    let (mut dice, seed) = hostile::seeded();
    let end = Instant::now() + hostile::span();
    while Instant::now() < end {
        let file = dice.mutate(&corpus);
        let mut child = Command::new(binary())
            .args(["__pdf", "4", "60000"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start the child");
        // It may have seen enough before it has read everything.
        let _ = child.stdin.take().expect("a pipe").write_all(&file);
        let status = wait::within(Duration::from_secs(30), || child.try_wait().expect("wait for the child"));
        let ended = status.map(|status| (status.code(), status.signal()));
        // By its memory (SIGABRT), its time (SIGXCPU, SIGKILL), or with one of its own codes.
        let fine = matches!(ended, Some((Some(0 | 65 | 77), None) | (None, Some(6 | 9 | 24))));
        if !fine {
            let _ = child.kill();
            let kept = std::env::temp_dir().join(format!("openclaw-pdf-{seed}.pdf"));
            std::fs::write(&kept, &file).expect("keep the file");
            panic!("FUZZ_SEED={seed}: {ended:?}: {}", kept.display());
        }
    }
}
