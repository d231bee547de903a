//! The Control UI's files: served in one way only, to anybody, with nothing secret in them.

use std::os::unix::fs::symlink;

use serde_json::json;

use crate::support::gateway::TOKEN;
use crate::support::scratch::Scratch;
use crate::support::{Gateway, Raw, golden, raw};

const BROWSER: (&str, &str) = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");

fn page(gateway: &Gateway, path: &str) -> raw::Reply {
    raw::get(gateway.addr(), path, &[BROWSER])
}

/// The address of a module, as the page names it.
fn asset(page: &str, name: &str) -> String {
    let named = page.split('"').find(|part| part.contains("/assets/") && part.ends_with(name));
    named.unwrap_or_else(|| panic!("the page names {name}: {page}")).to_owned()
}

#[test]
fn the_page_is_there_for_every_address_of_its_own_and_runs_nothing_inline() {
    let gateway = Gateway::start(json!({}));
    let root = page(&gateway, "/");
    assert_eq!(root.status, 200, "{}", root.text());
    assert_eq!(root.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(root.header("cache-control"), Some("no-cache"));
    assert_eq!(root.header("x-frame-options"), Some("DENY"));
    let policy = root.header("content-security-policy").expect("a policy");
    for part in
        ["default-src 'none'", "script-src 'self';", "frame-ancestors 'none'", "require-trusted-types-for 'script'"]
    {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    let text = root.text();
    assert!(!text.contains("<script>") && !text.contains(" style=") && !text.contains(" onclick="), "{text}");
    for path in ["/chat", "/sessions", "/settings/general", "/approve/abc"] {
        let reply = page(&gateway, path);
        assert_eq!((reply.status, reply.text()), (200, text.clone()), "{path}");
    }
    for path in ["/api/nope", "/v1/nope", "/health/", "/x.html", "/nope.js", "/__openclaw__/worker", "/assets/"] {
        assert_eq!(page(&gateway, path).status, 404, "{path}");
    }
    let programs = raw::get(gateway.addr(), "/chat", &[("Accept", "application/json")]);
    assert_eq!(programs.status, 404, "a program that wants JSON gets no page");
    assert_eq!(raw::get(gateway.addr(), "/", &[("Accept", "application/json")]).status, 200);
}

#[test]
fn modules_are_kept_for_ever_and_the_page_is_asked_for_again() {
    let gateway = Gateway::start(json!({}));
    let root = page(&gateway, "/");
    let path = asset(&root.text(), "/client.js");
    let module = raw::get(gateway.addr(), &path, &[("Accept-Encoding", "gzip, deflate")]);
    assert_eq!(module.status, 200);
    assert_eq!(module.header("content-encoding"), Some("gzip"));
    assert_eq!(module.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(module.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert!(module.body.starts_with(&[0x1f, 0x8b]) && module.body.len() < 16 << 10);
    assert_eq!(raw::get(gateway.addr(), &path, &[("Accept-Encoding", "identity")]).status, 406);
    assert_eq!(raw::get(gateway.addr(), &path.replace("/assets/", "/assets/0"), &[]).status, 404, "of another build");
    for (path, tag) in [(path.as_str(), module.header("etag")), ("/", root.header("etag"))] {
        let tag = tag.expect("an entity tag");
        for shown in [tag.to_owned(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
            let again = raw::get(gateway.addr(), path, &[BROWSER, ("If-None-Match", &shown)]);
            assert_eq!((again.status, again.body.len()), (304, 0), "{path} {shown}");
        }
        assert_eq!(raw::get(gateway.addr(), path, &[BROWSER, ("If-None-Match", "\"x\"")]).status, 200);
    }
    let mut raw = Raw::open(gateway.addr());
    raw.send(format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
    let head = raw.head();
    assert_eq!((head.status, head.header("content-length")), (200, Some(module.body.len().to_string().as_str())));
    raw.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(raw.reply().status, 200, "nothing came after the head");
}

#[test]
fn nothing_secret_is_in_any_file_and_the_configuration_of_the_page_needs_the_secret() {
    let gateway = Gateway::start(json!({}));
    let root = page(&gateway, "/").text();
    assert!(!root.contains(TOKEN) && !root.contains(gateway.home().to_str().expect("a path")), "{root}");
    for path in ["/control-ui-config.json", "/__openclaw__/control-ui-config.json", "/avatar/main"] {
        assert_eq!(page(&gateway, path).status, 401, "{path}");
    }
    let config = gateway.get_with_token("/control-ui-config.json");
    assert_eq!(config.status, 200);
    golden::has(&config.json(), &json!({ "basePath": "", "assistantAgentId": "main", "terminalEnabled": false }));
    assert!(!config.text().contains(TOKEN));
    assert_eq!(gateway.get_with_token("/avatar/main").status, 404);
    golden::has(&gateway.get_with_token("/avatar/main?meta=1").json(), &json!({ "avatarUrl": null }));
}

#[test]
fn the_page_moves_below_a_base_path_and_goes_when_it_is_switched_off() {
    let gateway = Gateway::start(json!({ "gateway": { "controlUi": { "basePath": "/oc/" } } }));
    assert_eq!(page(&gateway, "/").status, 404);
    assert_eq!(page(&gateway, "/ocean").status, 404);
    let moved = page(&gateway, "/oc");
    assert_eq!((moved.status, moved.header("location")), (302, Some("/oc/")));
    let text = page(&gateway, "/oc/chat").text();
    let path = asset(&text, "/app.js");
    assert!(path.starts_with("/oc/assets/"), "{path}");
    assert_eq!(raw::get(gateway.addr(), &path, &[]).status, 200);
    golden::has(&gateway.get_with_token("/oc/control-ui-config.json").json(), &json!({ "basePath": "/oc" }));
    let gateway = Gateway::start(json!({ "gateway": { "controlUi": { "enabled": false } } }));
    for path in ["/", "/chat", "/control-ui-config.json"] {
        assert_eq!(page(&gateway, path).status, 404, "{path}");
    }
}

#[test]
fn the_files_of_another_page_are_served_from_below_its_root_only() {
    let place = Scratch::new();
    let root = place.path().join("www");
    std::fs::create_dir_all(root.join("assets")).expect("make a root");
    std::fs::write(place.path().join("secret.txt"), "outside-9911").expect("write outside");
    std::fs::write(root.join(".hidden"), "hidden-9911").expect("write a dot file");
    std::fs::write(root.join("index.html"), "<!doctype html><html lang=\"en\"><script>let a;</script><script src=\"./assets/m-Ab12Cd34.js\"></script></html>")
        .expect("write a page");
    std::fs::write(root.join("assets/m-Ab12Cd34.js"), vec![b'a'; 200_000]).expect("write a module");
    std::fs::write(root.join("assets/m-Ab12Cd34.js.gz"), [0x1f, 0x8b, 8]).expect("write its compressed self");
    std::fs::write(root.join("sw.js"), "// worker").expect("write a worker");
    symlink(place.path().join("secret.txt"), root.join("link.txt")).expect("plant a link");
    symlink(place.path(), root.join("up")).expect("plant a link");
    let gateway = Gateway::start(json!({ "gateway": { "controlUi": { "root": root } } }));

    let index = page(&gateway, "/settings/general");
    assert_eq!(index.status, 200);
    let text = index.text();
    assert!(text.contains("data-openclaw-control-ui-base-path=\"\"") && text.contains("src=\"/assets/m-"), "{text}");
    let policy = index.header("content-security-policy").expect("a policy");
    assert!(
        policy.contains("script-src 'self' 'wasm-unsafe-eval' 'sha256-") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    let module = raw::get(gateway.addr(), "/assets/m-Ab12Cd34.js", &[]);
    assert_eq!((module.status, module.body.len()), (200, 200_000));
    assert_eq!(module.header("cache-control"), Some("public, max-age=31536000, immutable"));
    let packed = raw::get(gateway.addr(), "/assets/m-Ab12Cd34.js", &[("Accept-Encoding", "gzip")]);
    assert_eq!((packed.header("content-encoding"), packed.body.len()), (Some("gzip"), 3));
    let worker = raw::get(gateway.addr(), "/sw.js", &[]);
    assert_eq!((worker.status, worker.header("cache-control")), (200, Some("no-cache")));
    let tag = worker.header("etag").expect("an entity tag");
    assert_eq!(raw::get(gateway.addr(), "/sw.js", &[("If-None-Match", tag)]).status, 304);

    for path in [
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e%2fsecret.txt",
        "/..%5csecret.txt",
        "/..\\secret.txt",
        "/%252e%252e%252fsecret.txt",
        "/link.txt",
        "/up/secret.txt",
        "/.hidden",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/sw.js%00.html",
        "/sw.js/",
        "/assets",
        "/./sw.js",
        "/nope.js",
        "/C:/x.txt",
    ] {
        let reply = raw::get(gateway.addr(), path, &[]);
        assert!(matches!(reply.status, 400 | 404), "{path}: {} {}", reply.status, reply.text());
        assert!(!reply.text().contains("9911"), "{path}");
    }
}
